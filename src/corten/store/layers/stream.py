"""Bytes in: a file read, decompressed and hashed on a thread of its own, handed over in chunks.

Owns: telling gzip, zstd, bzip2, xz and plain apart by their first bytes; the bound on what may come out; the digests of
both sides.  Knows nothing of tar: read reader.py.
"""

from __future__ import annotations

import bz2
import hashlib
import lzma
import os
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Protocol, cast

import zstandard
from isal import igzip_lib

from corten.errors import CortenError, Invalid
from corten.spec.digest import Digest

READ = 1 << 18
CHUNK = 1 << 20
DEPTH = 8

_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
)
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
_BROKEN: tuple[type[Exception], ...] = (
    ValueError,
    EOFError,
    OSError,
    lzma.LZMAError,
    zstandard.ZstdError,
    cast(type[Exception], igzip_lib.IsalError),
)
_LZMA_MEMORY = 256 << 20
_ZSTD_WINDOW = 128 << 20


def compression_of(head: bytes) -> str:
    """``gzip``, ``zstd``, ``bzip2``, ``xz`` or ``""``, from the first bytes of a stream."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    return "zstd" if head[1:4] == _ZSTD_SKIPPABLE and head[0] & 0xF0 == 0x50 else ""


class _Member(Protocol):
    """What bz2, lzma and igzip_lib have in common."""

    eof: bool
    needs_input: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


_MEMBERS: dict[str, Callable[[], _Member]] = {
    "gzip": lambda: cast(_Member, igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)),
    "bzip2": lambda: cast(_Member, bz2.BZ2Decompressor()),
    "xz": lambda: cast(_Member, lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)),
}


@dataclass(frozen=True, slots=True)
class Extent:
    """A part of a file: a blob inside an archive, or (the default) all of it."""

    path: str
    offset: int = 0
    size: int | None = None


class Inflow:
    """The plain bytes of a file (or of a part, or of what comes out of a descriptor), as an iterator of chunks.

    After the last chunk ``plain`` and ``packed`` are the digests of what came out and what went in.
    """

    def __init__(
        self,
        source: Extent | int | str | os.PathLike[str],
        *,
        limit: int,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._left: int | None = None
        if isinstance(source, Extent):
            self._fd = os.open(source.path, os.O_RDONLY | os.O_CLOEXEC)
            self._left = source.size
            if source.offset:
                os.lseek(self._fd, source.offset, os.SEEK_SET)
        else:
            self._fd = os.dup(source) if isinstance(source, int) else os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        self._limit = limit
        self._progress = progress
        self._chunks: queue.Queue[bytes | BaseException | None] = queue.Queue(DEPTH)
        self._stopped = threading.Event()
        self._plain, self._packed = hashlib.sha256(), hashlib.sha256()
        self.compression = ""
        self.plain_size = 0
        self.packed_size = 0
        self._thread = threading.Thread(target=self._run, name="inflow", daemon=True)
        self._thread.start()

    @property
    def plain(self) -> Digest:
        """Of what came out: the diff ID, once all was read."""
        return Digest.from_hash(self._plain if self.compression else self._packed)

    @property
    def packed(self) -> Digest:
        """Of what went in."""
        return Digest.from_hash(self._packed)

    def __iter__(self) -> Iterator[bytes]:
        while True:
            item = self._chunks.get()
            if item is None:
                self._thread.join()
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def close(self) -> None:
        """Stop the thread and close the file."""
        self._stopped.set()
        while self._thread.is_alive():
            try:
                self._chunks.get(timeout=0.05)
            except queue.Empty:
                continue
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Inflow:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        try:
            head = self._read()
            self.compression = compression_of(head)
            if self.compression == "zstd":
                plain = self._frames(head)
            elif self.compression:
                plain = self._members(head)
            else:
                plain = self._copy(head)
            for chunk in plain:
                if self._stopped.is_set():
                    return
                self._put(chunk)
            self._chunks.put(None)
        except CortenError as error:
            self._chunks.put(error)
        except _BROKEN as error:
            self._chunks.put(Invalid(f"invalid {self.compression or 'tar'} stream: {error}"))

    def _read(self, size: int = READ) -> bytes:
        if self._left is not None:
            size = min(size, self._left)
            data = os.read(self._fd, size)
            if len(data) == 0 < size:
                raise EOFError("unexpected end of data")
            self._left -= len(data)
        else:
            data = os.read(self._fd, size)
        self._packed.update(data)
        self.packed_size += len(data)
        if self._progress is not None:
            self._progress(self.packed_size)
        return data

    def _put(self, data: bytes) -> None:
        self.plain_size += len(data)
        if self.plain_size > self._limit:
            raise Invalid(f"invalid tar stream: larger than the limit of {self._limit} bytes")
        if self.compression:  # of a plain tar both digests are one, and hashing is half of the reader's work
            self._plain.update(data)
        self._chunks.put(data)

    def _copy(self, data: bytes) -> Iterator[bytes]:
        while data:
            yield data
            data = self._read(CHUNK)

    def _members(self, data: bytes) -> Iterator[bytes]:
        """Member after member, at most a chunk at a time."""
        while True:
            member = _MEMBERS[self.compression]()
            while not member.eof:
                piece = member.decompress(data, CHUNK)
                data = b""
                if piece:
                    yield piece
                if member.needs_input and not member.eof:
                    data = self._read()
                    if not data:
                        raise EOFError("unexpected end of data")
            data = member.unused_data
            while len(data) < len(_MAGIC[-1][0]) and (more := self._read()):
                data += more
            if compression_of(data) != self.compression:
                break
        # What follows the last member is padding, which gzip(1) ignores too; it still counts for the digest.
        while data:
            data = self._read()

    def _frames(self, head: bytes) -> Iterator[bytes]:
        reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).stream_reader(
            cast(IO[bytes], _Rest(head, self._read)), read_across_frames=True
        )
        while piece := reader.read(CHUNK):
            yield piece


class _Rest:
    """A file whose first bytes were read already."""

    def __init__(self, head: bytes, read: Callable[[int], bytes]) -> None:
        self._head = head
        self._read = read

    def read(self, size: int = READ) -> bytes:
        if self._head:
            head, self._head = self._head[:size], self._head[size:]
            return head
        return self._read(size)
