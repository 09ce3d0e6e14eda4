"""The files driver: a directory, for one process or several on one host (or on NFS with locks).

    root/
    ├── blobs/ repositories/ …    objects and records, as repositories.py draws them
    ├── uploads/<id>              the bytes of an unfinished upload, locked (flock) by who writes it
    ├── temporary/                half-written records: renamed into place or swept an hour later
    └── lock                      flock: shared while references are made, exclusive while things are removed

A record is written, synced and renamed, and its folder synced; an object is its upload, synced and renamed.
Reads and writes of small files are done in the loop (they are in the page cache); syncs and big writes in threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

from corten.errors import Conflict, Internal
from corten.registry.storage.base import Stat, Upload

_CHUNK = 1 << 20
_STALE = 3600.0
_T = TypeVar("_T")


class Files:
    """See base.Driver."""

    def __init__(self, root: Path, *, sync: bool = True) -> None:
        self._root = root
        self._sync = sync
        for name in ("blobs", "repositories", "uploads", "temporary"):
            (root / name).mkdir(mode=0o750, parents=True, exist_ok=True)
        self._sweep_temporary()

    def __repr__(self) -> str:
        return f"files at {self._root}"

    async def read(self, key: str) -> bytes | None:
        try:
            return self._at(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    async def write(self, key: str, data: bytes) -> None:
        await asyncio.to_thread(self._write, self._at(key), data)

    async def delete(self, key: str) -> bool:
        path = self._at(key)
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return False
        await asyncio.to_thread(self._sync_directory, path.parent)
        return True

    async def stat(self, key: str) -> Stat | None:
        try:
            found = self._at(key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Stat(found.st_size, found.st_mtime)

    async def touch(self, key: str) -> bool:
        try:
            os.utime(self._at(key))
        except FileNotFoundError:
            return False
        return True

    async def children(self, prefix: str) -> list[str]:
        try:
            return sorted(os.listdir(self._at(prefix)))
        except (FileNotFoundError, NotADirectoryError):
            return []

    async def prune(self, prefix: str) -> None:
        for folder, _, _ in os.walk(self._at(prefix), topdown=False):
            with contextlib.suppress(OSError):  # not empty: somebody still needs it
                os.rmdir(folder)

    def path(self, key: str) -> Path | None:
        return self._at(key)

    async def stream(self, key: str, first: int, size: int) -> AsyncIterator[bytes]:
        with self._at(key).open("rb") as file:
            file.seek(first)
            while size > 0 and (data := await asyncio.to_thread(file.read, min(size, _CHUNK))):
                size -= len(data)
                yield data

    async def create_upload(self, upload_id: str) -> Upload:
        file = (self._root / "uploads" / upload_id).open("x+b", buffering=0)
        _lock_upload(file)
        return FileUpload(self, file)

    async def open_upload(self, upload_id: str) -> Upload | None:
        path = self._root / "uploads" / upload_id
        try:
            file = path.open("r+b", buffering=0)
        except FileNotFoundError:
            return None
        _lock_upload(file)
        if not path.exists():  # finished between open and lock
            file.close()
            return None
        return FileUpload(self, file)

    async def uploads(self) -> list[tuple[str, float]]:
        found = []
        with os.scandir(self._root / "uploads") as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # it is just being finished
                    found.append((entry.name, entry.stat().st_mtime))
        return found

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        async with self._locked(fcntl.LOCK_SH):
            yield

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        async with self._locked(fcntl.LOCK_EX):
            yield

    async def check(self) -> None:
        await asyncio.to_thread(self._check)

    async def close(self) -> None:
        """Nothing is held."""

    def settle(self, source: Path, key: str) -> None:
        """Move a written file to ``key``, with everything on disk before and after."""
        target = self._at(key)
        self._make_folder(target.parent)
        os.replace(source, target)
        os.utime(target)
        self._sync_directory(target.parent)

    def sync(self, file: BinaryIO) -> None:
        """Bring the file's bytes to the disk."""
        if self._sync:
            os.fdatasync(file.fileno())

    def _at(self, key: str) -> Path:
        if key.startswith("/") or ".." in key.split("/"):  # keys are made of checked pieces; this is the last wall
            raise Internal(f"bad storage key {key!r}")
        return self._root / key

    def _write(self, path: Path, data: bytes) -> None:
        temporary = self._root / "temporary" / secrets.token_hex(16)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                self.sync(file)
            self._make_folder(path.parent)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self._sync_directory(path.parent)

    def _make_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            self._make_folder(folder.parent)
            folder.mkdir(mode=0o750, exist_ok=True)
            self._sync_directory(folder.parent)

    def _sync_directory(self, folder: Path) -> None:
        if not self._sync:
            return
        with contextlib.suppress(FileNotFoundError):
            directory_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(directory_fd)
            finally:
                os.close(directory_fd)

    @asynccontextmanager
    async def _locked(self, how: int) -> AsyncIterator[None]:
        lock_fd = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            # Polled, not waited for in a thread: waiters would use up the threads which the holder needs to finish.
            pause = 0.001
            while not _try_lock(lock_fd, how):
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, 0.02)
            yield
        finally:
            os.close(lock_fd)

    def _check(self) -> None:
        probe = self._root / "temporary" / secrets.token_hex(16)
        probe.write_bytes(b"health")
        probe.unlink()

    def _sweep_temporary(self) -> None:
        for path in (self._root / "temporary").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - _STALE:
                    path.unlink()


class FileUpload:
    """See base.Upload.  The file is held open and locked until close, commit or abort."""

    def __init__(self, files: Files, file: BinaryIO) -> None:
        self._files = files
        self._file = file
        self._path = Path(str(file.name))
        self._offset = os.fstat(file.fileno()).st_size

    @property
    def offset(self) -> int:
        return self._offset

    async def append(self, data: bytes) -> None:
        await _finished(lambda: self._append(data))

    async def truncate(self, offset: int) -> None:
        os.ftruncate(self._file.fileno(), offset)
        self._offset = offset

    async def chunks(self) -> AsyncIterator[bytes]:
        position = 0
        while data := await _finished(lambda at=position: os.pread(self._file.fileno(), _CHUNK, at)):  # type: ignore[misc]
            position += len(data)
            yield data

    async def commit(self, key: str) -> None:
        await _finished(lambda: self._commit(key))

    async def close(self) -> None:
        self._file.close()

    async def abort(self) -> None:
        self._path.unlink(missing_ok=True)
        self._file.close()

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file.fileno(), view, self._offset)
            if written == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._offset += written
            view = view[written:]

    def _commit(self, key: str) -> None:
        self._files.sync(self._file)
        self._files.settle(self._path, key)
        self._file.close()


def _try_lock(lock_fd: int, how: int) -> bool:
    try:
        fcntl.flock(lock_fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_upload(file: BinaryIO) -> None:
    if not _try_lock(file.fileno(), fcntl.LOCK_EX):
        file.close()
        raise Conflict("the upload is being written by another request")


async def _finished(work: Callable[[], _T]) -> _T:
    """Run ``work`` in a thread, and wait for its end even when cancelled: it uses descriptors we are about to close."""
    job = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):
            await job
        raise
