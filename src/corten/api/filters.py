"""``?filters=``: a JSON object of names to values, in both of Docker's shapes.

Owns: parsing, the refusal of unknown names, and the ways in which a value is compared.
Knows nothing of what is filtered; for values that are expressions see ``patterns.py``.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from corten.errors import Invalid

_TRUE = frozenset({"1", "t", "true"})
_FALSE = frozenset({"0", "f", "false"})


@dataclass(frozen=True, slots=True)
class Filters:
    """What a request keeps: for each name the values of which one must fit."""

    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None) -> Filters:
        """Read ``{"status": ["running"]}`` or the older ``{"status": {"running": true}}``; raises Invalid."""
        if not text:
            return cls()
        try:
            raw = json.loads(text)
            json.dumps(raw, ensure_ascii=False).encode()  # half a surrogate pair could not be told again
        except (ValueError, RecursionError) as error:
            raise Invalid(f"invalid filters: {error}") from error
        if raw is None:
            return cls()
        if not isinstance(raw, dict):
            raise Invalid("invalid filters: not an object")
        return cls({name: _values(name, values) for name, values in raw.items()})

    def to_json(self) -> str:
        """The newer shape, as a client sends it."""
        return json.dumps({name: dict.fromkeys(values, True) for name, values in self.fields.items()})

    def __bool__(self) -> bool:
        return any(self.fields.values())

    def __contains__(self, name: str) -> bool:
        return bool(self.fields.get(name))

    def get(self, name: str) -> tuple[str, ...]:
        """The values under a name, none if it is not there."""
        return self.fields.get(name, ())

    def only(self, allowed: Collection[str]) -> Filters:
        """Itself, if every name is allowed; raises Invalid in dockerd's words."""
        for name in self.fields:
            if name not in allowed:
                raise Invalid(f"invalid filter '{name}'")
        return self

    def flag(self, name: str, default: bool) -> bool:
        """A filter whose value is a boolean."""
        values = self.get(name)
        if not values:
            return default
        words = {value.lower() for value in values}
        if words <= _TRUE:
            return True
        if words <= _FALSE:
            return False
        raise Invalid(f"invalid filter '{name}=[{' '.join(values)}]'")

    def exact(self, name: str, value: str) -> bool:
        """True if the name is not filtered or a value is the same."""
        values = self.get(name)
        return not values or value in values

    def prefix(self, name: str, value: str) -> bool:
        """True if the name is not filtered or a value is how it begins."""
        values = self.get(name)
        return not values or any(value.startswith(wanted) for wanted in values)

    def labels(self, labels: Mapping[str, str], name: str = "label") -> bool:
        """True if every ``key`` or ``key=value`` is among the labels, and no ``label!`` is."""
        if not all(_has_label(labels, wanted) for wanted in self.get(name)):
            return False
        return not any(_has_label(labels, refused) for refused in self.get(f"{name}!"))

    def any_of(self, name: str, values: Iterable[str]) -> bool:
        """True if the name is not filtered or one of the things is among the values."""
        wanted = self.get(name)
        return not wanted or any(value in wanted for value in values)


def _values(name: str, values: Any) -> tuple[str, ...]:
    if isinstance(values, dict):
        return tuple(str(key) for key, on in values.items() if on)
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        return tuple(values)
    raise Invalid(f"invalid filters: {name}: not a list of strings")


def _has_label(labels: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)
