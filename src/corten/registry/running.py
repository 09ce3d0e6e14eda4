"""Hashes of uploads that go on over several requests, so that a chunked upload need not be read again at its end.

A hash cannot be written down: an upload that another process began is simply hashed again from its bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from corten.registry.storage.base import Upload
from corten.spec.digest import Digest

if TYPE_CHECKING:
    from hashlib import _Hash

_LIMIT = 4096


class Running:
    """A hash of the first ``offset`` bytes."""

    def __init__(self, algorithm: str = "sha256") -> None:
        self.algorithm = algorithm
        self.offset = 0
        self._hash: _Hash = hashlib.new(algorithm)

    def update(self, data: bytes) -> None:
        """Take the next bytes in.  Releases the interpreter lock: call it in a thread."""
        self._hash.update(data)
        self.offset += len(data)

    def digest(self) -> Digest:
        """The digest so far."""
        return Digest(self.algorithm, self._hash.hexdigest())


class RunningHashes:
    """The running hash of each upload that this process has seen."""

    def __init__(self) -> None:
        self._running: dict[str, Running] = {}

    def begin(self, upload_id: str, algorithm: str = "sha256") -> Running:
        """Start one for a new upload."""
        while len(self._running) >= _LIMIT:
            del self._running[next(iter(self._running))]
        return self._running.setdefault(upload_id, Running(algorithm))

    def at(self, upload_id: str, offset: int) -> Running | None:
        """The one that has taken in exactly ``offset`` bytes."""
        running = self._running.get(upload_id)
        if running is None and offset == 0:
            return self.begin(upload_id)
        return running if running is not None and running.offset == offset else None

    def forget(self, upload_id: str) -> None:
        """The upload has ended, or its hash is of no use."""
        self._running.pop(upload_id, None)


async def digest_of(upload: Upload, algorithm: str) -> Digest:
    """The digest of all that was written."""
    running = Running(algorithm)
    async for data in upload.chunks():
        await asyncio.to_thread(running.update, data)
    return running.digest()
