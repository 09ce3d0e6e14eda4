"""The storage interface of the registry: small records, big objects, and uploads that become objects.

Owns: the Driver and Upload protocols and their promises.  Knows nothing of repositories or HTTP.
Keys are relative paths such as ``blobs/sha256/ab/abcd…``, made only of pieces that were checked before.

What every driver promises (tests/suites/registry_storage.py runs on each):
- a record or object is seen whole or not at all, also after SIGKILL and after a full disk;
- two writers of one key leave one of the two values;
- an upload survives its process: another one may open it and go on at ``offset``;
- an upload is written by one writer at a time: a second ``open_upload`` raises Conflict.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Stat:
    """Size in bytes and the time of the last write or touch."""

    size: int
    modified: float


class Upload(Protocol):
    """Bytes on their way to become an object."""

    @property
    def offset(self) -> int:
        """How many bytes are there."""
        ...

    async def append(self, data: bytes) -> None:
        """Write ``data`` at the offset."""
        ...

    async def truncate(self, offset: int) -> None:
        """Forget everything from ``offset`` on."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Everything written so far, from the start."""
        ...

    async def commit(self, key: str) -> None:
        """Become the object ``key``, durably, and end the upload."""
        ...

    async def close(self) -> None:
        """Let go, keeping what was written.  Harmless after commit or abort."""
        ...

    async def abort(self) -> None:
        """Remove everything."""
        ...


class Driver(Protocol):
    """A place for bytes."""

    async def read(self, key: str) -> bytes | None:
        """A small record, whole; None where there is none."""
        ...

    async def write(self, key: str, data: bytes) -> None:
        """Put a small record, durably, in place of any before it."""
        ...

    async def delete(self, key: str) -> bool:
        """Remove a record or an object; False where there was none."""
        ...

    async def stat(self, key: str) -> Stat | None:
        """Size and age; None where there is none."""
        ...

    async def touch(self, key: str) -> bool:
        """Make it young; False where there is none."""
        ...

    async def children(self, prefix: str) -> list[str]:
        """The names right below ``prefix`` (no slash at its end), sorted by their bytes."""
        ...

    async def prune(self, prefix: str) -> None:
        """Remove the empty folders below ``prefix`` and itself, where the driver has folders."""
        ...

    def path(self, key: str) -> Path | None:
        """The local file behind an object, for sendfile; None where there is no such thing."""
        ...

    def stream(self, key: str, first: int, size: int) -> AsyncIterator[bytes]:
        """``size`` bytes of an object from ``first`` on."""
        ...

    async def create_upload(self, upload_id: str) -> Upload:
        """A new, empty upload, open."""
        ...

    async def open_upload(self, upload_id: str) -> Upload | None:
        """An upload begun earlier, by whichever process; None where there is none."""
        ...

    async def uploads(self) -> list[tuple[str, float]]:
        """Unfinished uploads and when each was last written."""
        ...

    def shared(self) -> AbstractAsyncContextManager[None]:
        """Held while references are made; any number at a time."""
        ...

    def exclusive(self) -> AbstractAsyncContextManager[None]:
        """Held for a moment while unreferenced things are removed; excludes ``shared``, in all processes."""
        ...

    async def check(self) -> None:
        """Raise OSError or Unavailable when the store cannot be written."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
