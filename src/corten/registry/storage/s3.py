"""The S3 driver: a bucket, for any number of processes on any number of hosts that keep nothing themselves.

    blobs/ repositories/ …     objects and records, as repositories.py draws them
    touched/<key>              a large object was touched at the time of this one (small ones are written again)
    uploads/<id>/state         a Cell: who writes, and the list of pieces
    uploads/<id>/<piece>       bytes of an unfinished upload; a piece is written once and never changes
    locks/                     see cells.py

An upload's pieces become the object inside the store, so each byte crosses the network once.  The times of the store
come in whole seconds: everything looks up to two seconds younger than it is.  Credentials are found where Amazon's
tools look for them: the environment, ``~/.aws``, or the machine's role.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from corten.errors import Conflict, Internal, NotFound
from corten.registry.config import S3Options
from corten.registry.storage.base import Stat, Upload
from corten.registry.storage.bucket import PART_MIN, Bucket
from corten.registry.storage.cells import Cell, Gate

_SMALL = 64 * 1024
_PIECE = 8 << 20
_PIECES = 500  # later pieces are larger, so that no upload has more than S3's 10,000


class S3:
    """See base.Driver."""

    def __init__(self, options: S3Options) -> None:
        self._bucket = Bucket(options)
        self._lease = options.lease
        self._gate = Gate(self._bucket, options.lease)

    def __repr__(self) -> str:
        return repr(self._bucket)

    async def read(self, key: str) -> bytes | None:
        found = await self._bucket.get(_checked(key))
        return None if found is None else found.data

    async def write(self, key: str, data: bytes) -> None:
        await self._bucket.put(_checked(key), data)

    async def delete(self, key: str) -> bool:
        if await self._bucket.head(_checked(key)) is None:
            return False
        self._gate.guard()
        await self._bucket.delete(key, f"touched/{key}")
        return True

    async def stat(self, key: str) -> Stat | None:
        found = await self._bucket.head(_checked(key))
        if found is None:
            return None
        mark = await self._bucket.head(f"touched/{key}") if found.size > _SMALL else None
        return Stat(found.size, max(found.modified, mark.modified if mark else 0.0))

    async def touch(self, key: str) -> bool:
        found = await self._bucket.head(_checked(key))
        if found is None:
            return False
        if found.size > _SMALL:
            await self._bucket.put(f"touched/{key}", b"")
            return True
        whole = await self._bucket.get(key)
        return whole is not None and await self._bucket.put_if(key, whole.data, whole.etag) is not None

    async def children(self, prefix: str) -> list[str]:
        return await self._bucket.names(_checked(prefix))

    async def prune(self, prefix: str) -> None:
        """A bucket has no folders."""

    def path(self, key: str) -> Path | None:
        return None

    def stream(self, key: str, first: int, size: int) -> AsyncIterator[bytes]:
        return self._bucket.stream(_checked(key), first, size)

    async def create_upload(self, upload_id: str) -> Upload:
        cell = Cell(self._bucket, f"uploads/{upload_id}/state")
        await cell.make([])
        return S3Upload(self._bucket, upload_id, cell, self._lease)

    async def open_upload(self, upload_id: str) -> Upload | None:
        cell = Cell(self._bucket, f"uploads/{upload_id}/state")
        taken = await cell.take(self._lease)
        if taken is False:
            raise Conflict("the upload is being written by another request")
        return None if taken is None else S3Upload(self._bucket, upload_id, cell, self._lease)

    async def uploads(self) -> list[tuple[str, float]]:
        found: dict[str, float] = {}
        for key, modified in await self._bucket.listing("uploads/"):
            upload_id = key.split("/")[1]
            found[upload_id] = max(modified, found.get(upload_id, 0.0))
        return sorted(found.items())

    def shared(self) -> AbstractAsyncContextManager[None]:
        return self._gate.shared()

    def exclusive(self) -> AbstractAsyncContextManager[None]:
        return self._gate.exclusive()

    async def check(self) -> None:
        key = f"health/{secrets.token_hex(8)}"
        await self._bucket.put(key, b"")
        await self._bucket.delete(key)

    async def close(self) -> None:
        await self._bucket.close()


class S3Upload:
    """See base.Upload.  What was appended and is not yet a piece is in memory; ``close`` makes a piece of it."""

    def __init__(self, bucket: Bucket, upload_id: str, cell: Cell, lease: float) -> None:
        self._bucket = bucket
        self._folder = f"uploads/{upload_id}/"
        self._cell = cell
        self._lease = lease
        self._pieces: list[tuple[str, int]] = [(name, size) for name, size in cell.value]
        self._tail = bytearray()
        self._ended = False

    @property
    def offset(self) -> int:
        return sum(size for _, size in self._pieces) + len(self._tail)

    async def append(self, data: bytes) -> None:
        await self._reopen_last()
        self._tail += data
        wanted = max(_PIECE, self.offset // _PIECES)
        while len(self._tail) >= wanted:
            await self._flush(wanted)
            await self._save()
        if time.monotonic() - self._cell.renewed > self._lease / 3:
            await self._save()

    async def truncate(self, offset: int) -> None:
        while self.offset - len(self._tail) > offset:
            self._tail = await self._read(self._pieces[-1])
            self._pieces.pop()
        del self._tail[offset - (self.offset - len(self._tail)) :]
        await self._save()

    async def chunks(self) -> AsyncIterator[bytes]:
        for name, size in self._pieces:
            async for data in self._bucket.stream(self._folder + name, 0, size):
                yield data
        if self._tail:
            yield bytes(self._tail)

    async def commit(self, key: str) -> None:
        if not self._pieces:
            await self._bucket.put(_checked(key), bytes(self._tail))
        else:
            if self._tail:
                await self._flush(len(self._tail))
            await self._save()  # nobody else has taken it over
            await self._bucket.compose(_checked(key), [(self._folder + name, size) for name, size in self._pieces])
        await self.abort()

    async def close(self) -> None:
        if self._ended:
            return
        if self._tail:
            await self._flush(len(self._tail))
        self._ended = True
        await self._cell.save(self._pieces, held=False)

    async def abort(self) -> None:
        if not self._ended:
            self._ended = True
            await self._bucket.delete(*[key for key, _ in await self._bucket.listing(self._folder)])

    async def _reopen_last(self) -> None:
        """A short last piece is taken back: only the last may be short when the object is composed."""
        if self._pieces and self._pieces[-1][1] < PART_MIN:
            self._tail[:0] = await self._read(self._pieces[-1])
            self._pieces.pop()

    async def _read(self, piece: tuple[str, int]) -> bytearray:
        data = bytearray()
        with contextlib.suppress(FileNotFoundError):
            async for part in self._bucket.stream(self._folder + piece[0], 0, piece[1]):
                data += part
        if len(data) != piece[1]:
            raise NotFound("bytes of the upload are gone")
        return data

    async def _flush(self, size: int) -> None:
        name = f"{self.offset:020d}-{secrets.token_hex(8)}"
        await self._bucket.put(self._folder + name, bytes(self._tail[:size]))
        del self._tail[:size]
        self._pieces.append((name, size))

    async def _save(self) -> None:
        await self._cell.save(self._pieces)


def _checked(key: str) -> str:
    if key.startswith("/") or ".." in key.split("/"):  # keys are made of checked pieces; this is the last wall
        raise Internal(f"bad storage key {key!r}")
    return key
