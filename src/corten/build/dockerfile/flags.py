"""The ``--flags`` of an instruction, read against a table of what it takes.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from corten.build.dockerfile.suggest import with_suggestion
from corten.errors import Invalid

Kind = Literal["bool", "string", "list"]


@dataclass(frozen=True, slots=True)
class Flags:
    """Values by flag; a flag that was not given is absent."""

    texts: Mapping[str, str] = field(default_factory=dict)
    bools: Mapping[str, bool] = field(default_factory=dict)
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def text(self, name: str, default: str = "") -> str:
        return self.texts.get(name, default)

    def is_set(self, name: str) -> bool:
        return self.bools.get(name, False)

    def all(self, name: str) -> tuple[str, ...]:
        return self.lists.get(name, ())


def read(written: Sequence[str], known: Mapping[str, Kind]) -> Flags:
    """Raises Invalid in Docker's words."""
    texts: dict[str, str] = {}
    bools: dict[str, bool] = {}
    lists: dict[str, list[str]] = {}
    for flag in written:
        option, equals, value = flag.partition("=")
        if not option.startswith("--"):
            raise Invalid(f"arg should start with -- : {flag}")
        name = option[2:]
        kind = known.get(name)
        if kind is None:
            raise Invalid(with_suggestion(f"unknown flag: {option}", name, known))
        if name in texts or name in bools:
            raise Invalid(f"duplicate flag specified: {option}")
        if (equals and not value and kind == "bool") or (not equals and kind != "bool"):
            raise Invalid(f"missing a value on flag: {option}")
        if kind == "bool":
            bools[name] = _boolean(option, value)
        elif kind == "string":
            texts[name] = value
        else:
            lists.setdefault(name, []).append(value)
    return Flags(texts, bools, {name: tuple(values) for name, values in lists.items()})


def _boolean(option: str, value: str) -> bool:
    lowered = value.lower()
    if lowered not in ("", "true", "false"):
        raise Invalid(f"expecting boolean value for flag {option}, not: {value}")
    return lowered != "false"
