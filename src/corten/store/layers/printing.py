"""A layer's tar, from wherever its bytes are, compressed on the way out.

Owns: the choice of source (tar, blob, recipe with its files, the directory itself), gzip in parallel segments, and the
check that what was printed has the diff ID it must have.  Knows nothing of content stores: it writes one file.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import zstandard
from isal import isal_zlib

from corten.errors import Internal, Invalid
from corten.spec.digest import Digest
from corten.store.layers.apply import DEFAULT_LIMIT
from corten.store.layers.pack import measure as tree_size
from corten.store.layers.pack import pack
from corten.store.layers.recipe import measure as recipe_size
from corten.store.layers.recipe import print_tar
from corten.store.layers.stream import CHUNK, Inflow

GZIP_LEVEL = 2
ZSTD_LEVEL = 3
SEGMENT = 1 << 20
_RAW_DEFLATE = -15
# Deflate, no flags, no time, no extra flags, from Unix: the same bytes whoever compresses.
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"
_LAST_BLOCK = b"\x03\x00"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a layer's bytes are.  The first that is set is used."""

    tar: Path | None = None  # the exact bytes, as they are
    blob: Path | None = None
    recipe: Path | None = None
    tree: Path | None = None
    epoch: int | None = None

    def to_json(self) -> dict[str, Any]:
        """For the pipe to a worker."""
        paths = {"tar": self.tar, "blob": self.blob, "recipe": self.recipe, "tree": self.tree}
        return {**{name: str(path) if path else None for name, path in paths.items()}, "epoch": self.epoch}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Source:
        """From the pipe."""
        paths = {name: Path(body[name]) if body[name] else None for name in ("tar", "blob", "recipe", "tree")}
        return cls(**paths, epoch=body["epoch"])


@dataclass(frozen=True, slots=True)
class Printed:
    """What was written."""

    diff_id: Digest
    digest: Digest
    size: int
    tar_size: int

    def to_json(self) -> dict[str, Any]:
        """For the pipe from a worker."""
        return {"diff_id": str(self.diff_id), "digest": str(self.digest), "size": self.size, "tar_size": self.tar_size}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Printed:
        """From the pipe."""
        return cls(Digest.parse(body["diff_id"]), Digest.parse(body["digest"]), body["size"], body["tar_size"])


def print_layer(source: Source, out: Path, compression: str = "", expected: Digest | None = None) -> Printed:
    """Write the tar of ``source`` to the file ``out``.  Internal, and a useless file, if it is not ``expected``."""
    plain = hashlib.sha256()
    tar_size = 0
    with open(out, "wb") as file:
        sink = _Hashing(file)
        squeeze = _squeezer(compression, sink)

        def write(data: bytes | bytearray) -> None:
            nonlocal tar_size
            tar_size += len(data)
            plain.update(data)
            squeeze.write(data)

        try:
            print_source(source, write)
            squeeze.finish()
        finally:
            squeeze.close()
    diff_id = Digest.from_hash(plain)
    if expected is not None and diff_id != expected:
        raise Internal(f"layer {expected}: its files were changed, they now give {diff_id}")
    return Printed(diff_id, sink.digest, sink.size, tar_size)


def measure_source(source: Source) -> int:
    """How long the plain tar of ``source`` is."""
    if source.tar is not None:
        return source.tar.stat().st_size
    if source.blob is None and source.recipe is not None:
        return recipe_size(source.recipe)
    if source.blob is None and source.tree is not None:
        return tree_size(source.tree)
    total = 0

    def count(data: bytes | bytearray) -> None:
        nonlocal total
        total += len(data)

    print_source(source, count)
    return total


def print_source(source: Source, write: Callable[[bytes | bytearray], None]) -> None:
    """Print the plain tar of ``source`` through ``write``."""
    if source.tar is not None:
        with open(source.tar, "rb", buffering=0) as file:
            while chunk := file.read(CHUNK):
                write(chunk)
    elif source.blob is not None:
        with Inflow(source.blob, limit=DEFAULT_LIMIT) as inflow:
            for chunk in inflow:
                write(chunk)
    elif source.recipe is not None and source.tree is not None:
        print_tar(source.recipe, source.tree, write)
    elif source.tree is not None:
        pack(source.tree, write, epoch=source.epoch)
    else:
        raise Internal("a layer without any source")


class _Hashing:
    """A file that knows its digest."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | bytearray) -> None:
        self._hash.update(data)
        self._file.write(data)
        self.size += len(data)

    @property
    def digest(self) -> Digest:
        return Digest.from_hash(self._hash)


class _Squeezer(Protocol):
    def write(self, data: bytes | bytearray) -> None: ...
    def finish(self) -> None: ...
    def close(self) -> None: ...


def _squeezer(compression: str, sink: _Hashing) -> _Squeezer:
    if compression == "gzip":
        return _Gzip(sink)
    if compression == "zstd":
        return _Zstd(sink)
    if compression:
        raise Invalid(f"unknown compression {compression!r}: expected gzip or zstd")
    return _Plain(sink)


class _Plain:
    def __init__(self, sink: _Hashing) -> None:
        self.write = sink.write

    def finish(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is open."""


class _Zstd:
    def __init__(self, sink: _Hashing) -> None:
        self._sink = sink
        threads = os.cpu_count() or 1
        self._object = zstandard.ZstdCompressor(level=ZSTD_LEVEL, threads=threads, write_checksum=True).compressobj()

    def write(self, data: bytes | bytearray) -> None:
        self._sink.write(self._object.compress(bytes(data)))

    def finish(self) -> None:
        self._sink.write(self._object.flush())

    def close(self) -> None:
        """Nothing is open."""


class _Gzip:
    """One gzip member of segments that were deflated each for itself, as pigz does: the same whatever the threads."""

    def __init__(self, sink: _Hashing) -> None:
        self._sink = sink
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, "gzip")
        self._depth = 2 * (os.cpu_count() or 1)
        self._running: deque[Future[bytes]] = deque()
        self._pending = bytearray()
        self._crc = 0
        self._size = 0
        sink.write(_GZIP_HEADER)

    def write(self, data: bytes | bytearray) -> None:
        self._crc = isal_zlib.crc32(data, self._crc)
        self._size += len(data)
        self._pending += data
        while len(self._pending) >= SEGMENT:
            self._submit(bytes(self._pending[:SEGMENT]))
            del self._pending[:SEGMENT]

    def finish(self) -> None:
        if self._pending:
            self._submit(bytes(self._pending))
        while self._running:
            self._sink.write(self._running.popleft().result())
        self._sink.write(_LAST_BLOCK + struct.pack("<II", self._crc, self._size & 0xFFFFFFFF))

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _submit(self, segment: bytes) -> None:
        self._running.append(self._pool.submit(_deflate, segment))
        if len(self._running) > self._depth:
            self._sink.write(self._running.popleft().result())


def _deflate(segment: bytes) -> bytes:
    stream = isal_zlib.compressobj(GZIP_LEVEL, isal_zlib.DEFLATED, _RAW_DEFLATE)
    return bytes(stream.compress(segment) + stream.flush(zlib.Z_SYNC_FLUSH))
