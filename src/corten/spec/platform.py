"""The platform an image is for: operating system, architecture, variant.

Owns: normal forms (x86_64 is amd64), matching, and the choice of the best of several.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from corten.errors import Invalid

_PART = re.compile(r"[A-Za-z0-9_.-]+\Z")

_KNOWN_OS = frozenset(
    [
        "aix",
        "android",
        "darwin",
        "dragonfly",
        "freebsd",
        "hurd",
        "illumos",
        "ios",
        "js",
        "linux",
        "nacl",
        "netbsd",
        "openbsd",
        "plan9",
        "solaris",
        "windows",
        "zos",
    ]
)
_ARCHITECTURES = {
    "i386": ("386", ""),
    "i686": ("386", ""),
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "riscv": ("riscv64", ""),
}
_SYSTEMS = {"macos": "darwin"}


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """``linux/arm64/v8``, in its normal form when it was parsed."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Platform:
        """``os/architecture[/variant]``, or one of the first two alone; the rest is the host's."""
        parts = text.split("/")
        if not 1 <= len(parts) <= 3 or not all(_PART.match(part) for part in parts):
            raise Invalid(f'"{text[:140]}": invalid platform: expected os/architecture[/variant]')
        if len(parts) == 1:
            single = _SYSTEMS.get(parts[0].lower(), parts[0].lower())
            if single in _KNOWN_OS:
                return cls.normal(single, host().architecture, host().variant)
            return cls.normal(host().os, single)
        return cls.normal(*parts)

    @classmethod
    def normal(cls, system: str, architecture: str, variant: str = "") -> Platform:
        """The normal form of the three names."""
        system, architecture, variant = system.lower(), architecture.lower(), variant.lower()
        architecture, implied = _ARCHITECTURES.get(architecture, (architecture, ""))
        variant = variant or implied
        if architecture == "arm":
            variant = {"": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"}.get(variant, variant)
        elif (architecture == "arm64" and variant in ("8", "v8")) or (architecture == "amd64" and variant == "v1"):
            variant = ""
        return cls(_SYSTEMS.get(system, system), architecture, variant)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Platform:
        """From the ``platform`` of a descriptor, or an image config's own fields."""
        features = body.get("os.features") or ()
        return cls(
            os=str(body.get("os", "")),
            architecture=str(body.get("architecture", "")),
            variant=str(body.get("variant") or ""),
            os_version=str(body.get("os.version") or ""),
            os_features=tuple(str(f) for f in features) if isinstance(features, list | tuple) else (),
        )

    def to_json(self) -> dict[str, Any]:
        """As a descriptor writes it."""
        body: dict[str, Any] = {"architecture": self.architecture, "os": self.os}
        if self.variant:
            body["variant"] = self.variant
        if self.os_version:
            body["os.version"] = self.os_version
        if self.os_features:
            body["os.features"] = list(self.os_features)
        return body

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))

    def matches(self, wanted: Platform) -> bool:
        """Does an image for this platform run where ``wanted`` is asked for?"""
        return _rank(self, wanted) is not None


def host() -> Platform:
    """The platform of this machine."""
    uname = os.uname()
    return Platform.normal(uname.sysname, uname.machine)


def parse_all(text: str) -> tuple[str, ...]:
    """``a,b,c``: each in its normal form, once."""
    names = (name.strip() for name in text.split(","))
    return tuple(dict.fromkeys(str(Platform.parse(name)) for name in names if name))


def best(platforms: Sequence[Platform | None], wanted: Platform) -> int | None:
    """The index of the platform that suits ``wanted`` best, the first of equals; None when none does."""
    found: tuple[int, int] | None = None
    for position, platform in enumerate(platforms):
        rank = _rank(platform, wanted) if platform else None
        if rank is not None and (found is None or rank < found[0]):
            found = (rank, position)
    return found[1] if found else None


def _rank(offered: Platform, wanted: Platform) -> int | None:
    """0 is exact; greater is an older variant that still runs; None does not run."""
    offered = Platform.normal(offered.os, offered.architecture, offered.variant)
    wanted = Platform.normal(wanted.os, wanted.architecture, wanted.variant)
    if offered.os != wanted.os:
        return None
    if offered.architecture != wanted.architecture:
        # A 64-bit processor runs its 32-bit ancestor, as the last resort.
        older = {"amd64": "386", "arm64": "arm"}.get(wanted.architecture)
        return None if offered.architecture != older else 100 + 9 - _level(offered)
    if offered.variant == wanted.variant:
        return 0
    difference = _level(wanted) - _level(offered)
    return difference if difference > 0 else None


def _level(platform: Platform) -> int:
    digits = platform.variant.removeprefix("v").partition(".")[0]
    base = {"amd64": 1, "arm64": 8, "arm": 7}.get(platform.architecture, 0)
    return int(digits) if digits.isdecimal() else base
