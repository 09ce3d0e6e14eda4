"""Versions of the Engine API: the range that Corten speaks, and what a client's prefix means.

Owns: parsing ``/v1.41`` and the words in which a version is refused.
Knows nothing of routes or of which field came when; those ask ``ApiVersion`` by comparison.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from corten.errors import Invalid


@dataclass(frozen=True, slots=True, order=True)
class ApiVersion:
    """``major.minor``; orders as numbers do."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> ApiVersion:
        """Read ``1.41``; raises Invalid."""
        found = re.fullmatch(r"(\d{1,4})\.(\d{1,4})", text)
        if not found:
            raise Invalid(f"invalid API version: {text!r}")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


CURRENT = ApiVersion(1, 50)
MINIMUM = ApiVersion(1, 24)

_PREFIX = re.compile(r"/v(\d{1,4}\.\d{1,4})(/.*)\Z", re.DOTALL)


def split_prefix(path: str) -> tuple[ApiVersion, str]:
    """The version that a path asks for (ours if it asks for none) and the path without the prefix."""
    found = _PREFIX.match(path)
    if not found:
        return CURRENT, path
    return check(ApiVersion.parse(found[1])), found[2]


def check(wanted: ApiVersion) -> ApiVersion:
    """``wanted`` if we speak it; raises Invalid in dockerd's words."""
    if wanted < MINIMUM:
        raise Invalid(
            f"client version {wanted} is too old. Minimum supported API version is {MINIMUM}, "
            "please upgrade your client to a newer version"
        )
    if wanted > CURRENT:
        raise Invalid(f"client version {wanted} is too new. Maximum supported API version is {CURRENT}")
    return wanted


def negotiate(server: ApiVersion) -> ApiVersion:
    """What a client of ours speaks with a server of that version."""
    return min(server, CURRENT)
