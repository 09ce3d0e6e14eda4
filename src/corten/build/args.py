"""ARG: where a value comes from, what is visible where, and which of the client's build arguments nobody asked for.

Pure.  Precedence, first wins: the client's value, the default beside the ARG, the value of the same ARG before the
first FROM, the platform's predefined value.  ENV hides an ARG of the same name (lower.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from corten.build.dockerfile.failures import DockerfileError
from corten.build.dockerfile.instructions import Arg, Program
from corten.build.dockerfile.words import expand
from corten.errors import Invalid

PROXIES = frozenset(
    {
        *("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"),
        *("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"),
    }
)
"""Usable in RUN without an ARG; not part of the cache key and not kept in the image's history."""

UNANNOUNCED = frozenset({"SOURCE_DATE_EPOCH"})
"""Meant for the builder itself: no warning when no ARG takes them.  So is everything that begins with BUILDKIT_."""


@dataclass(frozen=True, slots=True)
class Platforms:
    """The platform that builds and the one built for, as "os/arch[/variant]"."""

    build: str = "linux/amd64"
    target: str = "linux/amd64"

    def values(self) -> dict[str, str]:
        out: dict[str, str] = {}
        for prefix, platform in (("BUILD", self.build), ("TARGET", self.target)):
            os_name, arch, variant = [*platform.split("/"), "", ""][:3]
            out |= {f"{prefix}PLATFORM": platform, f"{prefix}OS": os_name}
            out |= {f"{prefix}ARCH": arch, f"{prefix}VARIANT": variant}
        return out


@dataclass(frozen=True, slots=True)
class GlobalArgs:
    """What FROM lines see.  ``declared`` are the ARGs before the first FROM (None: without a value)."""

    given: Mapping[str, str | None]
    predefined: Mapping[str, str]
    declared: Mapping[str, str | None]

    @property
    def env(self) -> dict[str, str]:
        return {**self.predefined, **{name: value for name, value in self.declared.items() if value is not None}}

    def value(self, name: str, default: str | None) -> str | None:
        """What ``ARG name=default`` gets inside a stage."""
        client = self.given.get(name)
        if client is not None:
            return client
        if default is not None:
            return default
        if name in self.declared:
            return self.declared[name]
        return self.predefined.get(name)

    def proxies(self) -> dict[str, str]:
        return {name: value for name, value in self.given.items() if name in PROXIES and value is not None}


def global_args(program: Program, given: Mapping[str, str | None], platforms: Platforms, target: str) -> GlobalArgs:
    """Evaluate the ARGs before the first FROM, in order."""
    predefined = {**platforms.values(), "TARGETSTAGE": target or "default"}
    declared: dict[str, str | None] = {}
    for instruction in program.meta_args:
        for name, default in instruction.args:
            env = {**predefined, **{key: value for key, value in declared.items() if value is not None}}
            declared[name] = _evaluated(instruction, name, default, given, env, program.escape)
    # A predefined value that the client sets wins everywhere (docker build --build-arg TARGETARCH=...).
    predefined |= {name: value for name in predefined if (value := given.get(name)) is not None}
    return GlobalArgs(given, predefined, declared)


def _evaluated(
    instruction: Arg,
    name: str,
    default: str | None,
    given: Mapping[str, str | None],
    env: Mapping[str, str],
    escape: str,
) -> str | None:
    client = given.get(name)
    if client is not None:
        return client
    if default is None:
        return env.get(name)
    try:
        return expand(default, env, escape=escape).text
    except Invalid as failure:
        raise DockerfileError(failure.message, instruction.source.location) from None


def not_consumed(given: Iterable[str], program: Program) -> list[str]:
    """The client's build arguments that no ARG of the file declares."""
    declared = {name for instruction in program.meta_args for name, _ in instruction.args}
    for stage in program.stages:
        for instruction in stage.instructions:
            if isinstance(instruction, Arg):
                declared |= {name for name, _ in instruction.args}
    return sorted(
        name for name in given if name not in declared | PROXIES | UNANNOUNCED and not name.startswith("BUILDKIT_")
    )


@dataclass(slots=True)
class StageArgs:
    """The ARGs declared so far in one stage."""

    globals: GlobalArgs
    values: dict[str, str | None] = field(default_factory=dict)

    def declare(self, name: str, default: str | None) -> str | None:
        self.values[name] = self.globals.value(name, default)
        return self.values[name]

    def visible(self, hidden: Mapping[str, str]) -> dict[str, str]:
        """ARGs with a value that no ENV hides."""
        return {name: value for name, value in self.values.items() if value is not None and name not in hidden}
