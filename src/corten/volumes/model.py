"""Values of the volumes package.

Owns: ``Volume``, its JSON form in the facts store, names and options.  Read next: ``service.py``.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corten.errors import Invalid

ANONYMOUS_LABEL = "com.docker.volume.anonymous"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Volume:
    """A named place for data that outlives containers."""

    name: str
    mountpoint: Path
    created: float
    driver: str = "local"
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    anonymous: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "mountpoint": str(self.mountpoint),
            "created": self.created,
            "driver": self.driver,
            "options": dict(self.options),
            "labels": dict(self.labels),
            "anonymous": self.anonymous,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Volume:
        return cls(**{**body, "mountpoint": Path(body["mountpoint"])})


@dataclass(frozen=True, slots=True)
class Usage:
    """What a volume costs: bytes, and how many containers refer to it."""

    size: int
    references: int


def check_name(name: str) -> str:
    """Return the name; raises Invalid in Docker's words."""
    if not _NAME.fullmatch(name):
        raise Invalid(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )
    if len(name) > 255:
        raise Invalid("volume name is too long, maximum length is 255 characters")
    return name


def anonymous_name() -> str:
    return secrets.token_hex(32)
