"""Values of the registry client, and the small ports through which it reaches content and people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.image import Index, Manifest


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a user has for one registry; all empty is nobody in particular."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @property
    def has_password(self) -> bool:
        """Whether a name and password can be sent."""
        return bool(self.username and self.password)


NOBODY = Credentials()


@dataclass(frozen=True, slots=True)
class Retries:
    """How long to go on after failures; each attempt that moved a transfer forward starts the count anew."""

    attempts: int = 6
    first_pause: float = 0.5
    longest_pause: float = 15.0
    longest_wait: float = 120.0  # for a registry that says Retry-After

    def pause(self, attempt: int) -> float:
        """Seconds before attempt number ``attempt`` (the first retry is 1)."""
        return min(self.longest_pause, self.first_pause * float(2 ** (attempt - 1)))


@dataclass(frozen=True, slots=True)
class RegistryConfig:
    """How registries are reached."""

    insecure: frozenset[str] = frozenset()  # host, host:port, or a network such as 10.0.0.0/8
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # registry, or "*" for all -> URLs
    certificates: tuple[Path, ...] = (Path("/etc/corten/certs.d"), Path("/etc/docker/certs.d"))
    parallel_downloads: int = 3
    parallel_uploads: int = 5
    chunk_size: int = 0  # of uploads; 0 sends a blob in one stream
    retries: Retries = Retries()
    stall_timeout: float = 60.0
    user_agent: str = "corten"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A manifest as a registry gave it, verified."""

    descriptor: Descriptor
    manifest: Manifest
    data: bytes
    index: Descriptor | None = None
    index_data: bytes | None = None

    @property
    def named(self) -> Descriptor:
        """What the reference itself names: the index where there is one."""
        return self.index or self.descriptor


@dataclass(frozen=True, slots=True)
class Pulled:
    """An image whose blobs are in the content store."""

    resolved: Resolved
    config: bytes

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of what was asked for (of the index where there is one): its digest is the repo digest."""
        return self.resolved.named

    @property
    def manifest(self) -> Manifest:
        """The manifest of the platform."""
        return self.resolved.manifest


@dataclass(frozen=True, slots=True)
class Fetched:
    """Any manifest or index, verified."""

    descriptor: Descriptor
    data: bytes

    @property
    def index(self) -> Index:
        """Read as an index."""
        return Index.parse(self.data)


@dataclass(frozen=True, slots=True)
class Login:
    """What a login brought: Docker's status line, and a token to keep in place of the password, if any."""

    status: str
    identity_token: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A repository that a search found."""

    name: str
    description: str = ""
    stars: int = 0
    is_official: bool = False
    is_automated: bool = False


class Ingest(Protocol):
    """An unfinished blob (store/content.py)."""

    @property
    def offset(self) -> int:
        """Bytes that are there already."""
        ...

    def write(self, data: bytes) -> object:
        """Append."""
        ...

    def truncate(self) -> None:
        """Begin again from nothing."""
        ...

    def commit(self, expected: Digest | None = None, size: int | None = None) -> Digest:
        """Verify and make visible; raises Invalid for other bytes than expected."""
        ...

    def close(self) -> None:
        """Let go, keeping what is there for another time."""
        ...

    def abort(self) -> None:
        """Throw away."""
        ...


class Content(Protocol):
    """Blobs by digest (store/content.py)."""

    def has(self, digest: Digest, /) -> bool:
        """Whether the whole blob is there."""
        ...

    def path(self, digest: Digest, /) -> Path:
        """Its file."""
        ...

    def read(self, digest: Digest, /) -> bytes:
        """Its bytes."""
        ...

    def ingest(self, key: str, /) -> Ingest:
        """Begin a blob, or go on with one of the same key."""
        ...


class Progress(Protocol):
    """Whom progress is told, in Docker's words."""

    def update(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        """How far one layer is."""
        ...

    def message(self, status: str, id: str | None = None) -> None:
        """A line of its own."""
        ...


class Silent:
    """Progress for those who do not want any."""

    def update(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        """See Progress."""

    def message(self, status: str, id: str | None = None) -> None:
        """See Progress."""


OnLayer = Callable[[int, Descriptor], Awaitable[None]]
"""Called with a layer's position as soon as its verified blob is in the content store, in no order."""

Have = Callable[[Manifest, bytes], Collection[int]]
"""Given the manifest and the config: the positions of the layers that the caller has unpacked already."""
