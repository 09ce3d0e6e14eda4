"""The digest: algorithm and hex of exact bytes.

Owns: Digest, and the hash object to compute one piece by piece.  Knows nothing of what is digested.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from corten.errors import Invalid

if TYPE_CHECKING:
    from hashlib import _Hash

HEX_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}

_HEX = re.compile(r"[0-9a-f]+\Z")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """``sha256:…``; one that exists is well-formed."""

    algorithm: str
    hex: str

    def __post_init__(self) -> None:
        length = HEX_LENGTHS.get(self.algorithm)
        if length is None:
            raise Invalid(f"invalid digest {self.algorithm}:{self.hex[:140]}: unsupported digest algorithm")
        if len(self.hex) != length or not _HEX.match(self.hex):
            raise Invalid(f"invalid digest {self.algorithm}:{self.hex[:140]}: invalid checksum digest format")

    @classmethod
    def parse(cls, text: str) -> Digest:
        """The digest that ``text`` prints; Invalid when it prints none."""
        algorithm, colon, digits = text.partition(":")
        if not colon:
            raise Invalid(f"invalid digest {text[:140]!r}: invalid checksum digest format")
        return cls(algorithm, digits)

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview, algorithm: str = "sha256") -> Digest:
        """The digest of ``data``."""
        return cls(algorithm, hashlib.new(algorithm, data).hexdigest())

    @classmethod
    def from_hash(cls, running: _Hash) -> Digest:
        """The digest of what was fed to ``running`` so far."""
        return cls(running.name, running.hexdigest())

    def hasher(self) -> _Hash:
        """A fresh hash of this digest's algorithm, to verify bytes that arrive in pieces."""
        return hashlib.new(self.algorithm)

    @property
    def short(self) -> str:
        """The twelve digits that people read."""
        return self.hex[:12]

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"
