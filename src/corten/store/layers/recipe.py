"""How to print an applied tar's exact bytes again: everything but the files' data, and where the data is.

A layer that came as a tar has a digest that other registries know.  Its files are in the snapshot already, so only the
rest is kept: headers, padding, and references, as zstd-compressed records

    R <u32 length> <bytes>                    these bytes
    F <u16 length> <path> <u64 size>          the data of this file

and after them, in a frame that decompressors skip, how long the tar is.
A tar that cannot be told so (sparse files, entries that replace one another) is kept whole, as records of bytes.
Owns: the recipe files.  Who reads them: print_tar(), and layers/pack.py for layers that were made here.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

import zstandard

from corten.errors import Internal
from corten.kernel import flags
from corten.kernel.paths import openat2
from corten.store.layers.target import RESOLVE

_RAW, _FILE = b"R", b"F"
_LENGTH = struct.Struct("<I")
_PATH = struct.Struct("<H")
_SIZE = struct.Struct("<Q")
_LAST = struct.Struct("<IIQ")  # RFC 8878, 3.1.2: skippable frame
_SKIPPED = 0x184D2A50
_FLUSH = 1 << 18
CHUNK = 1 << 20


class RecipeWriter:
    """Takes the bytes as the reader passes them; commit() makes the file appear."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._staged = path.with_name(f"{path.name}.{os.getpid()}")
        self._raw = bytearray()
        self._records = bytearray()
        self._size = 0
        self._lost = False
        self._file = open(self._staged, "wb")  # noqa: SIM115 - closed by close()
        self._out = zstandard.ZstdCompressor(level=3).stream_writer(self._file)

    def raw(self, data: bytes | memoryview) -> None:
        """Bytes that are in no file."""
        self._raw += data
        if len(self._raw) >= _FLUSH:
            self._flush()

    def file(self, path: str, size: int) -> None:
        """The data of the file now at ``path``."""
        self._flush()
        name = os.fsencode(path)
        self._size += size
        self._records += _FILE + _PATH.pack(len(name)) + name + _SIZE.pack(size)

    def lose(self) -> None:
        """Bytes went by that cannot be found again."""
        self._lost = True

    @property
    def lost(self) -> bool:
        """Is something missing?"""
        return self._lost

    def start_over(self) -> None:
        """Forget all that was taken: the whole tar follows as raw bytes."""
        self._file.seek(0)
        self._file.truncate()
        self._out = zstandard.ZstdCompressor(level=3).stream_writer(self._file)
        self._raw, self._records, self._size = bytearray(), bytearray(), 0
        self._lost = False

    def commit(self) -> bool:
        """Make the recipe appear, if it tells everything."""
        if self._lost:
            return False
        self._flush(_FLUSH)
        self._out.flush(zstandard.FLUSH_FRAME)
        self._file.write(_LAST.pack(_SKIPPED, _SIZE.size, self._size))
        self._file.flush()
        os.rename(self._staged, self._path)
        return True

    def close(self) -> None:
        """Remove what was not committed."""
        self._file.close()
        self._staged.unlink(missing_ok=True)

    def _flush(self, wanted: int = 0) -> None:
        """Make a record of the bytes that were taken; compress what there is, once it is enough."""
        if self._raw:
            self._size += len(self._raw)
            self._records += _RAW + _LENGTH.pack(len(self._raw)) + self._raw
            self._raw = bytearray()
        if len(self._records) + wanted >= _FLUSH:
            self._out.write(self._records)
            self._records = bytearray()


def print_tar(recipe: Path, tree: Path, write: Callable[[bytes], object]) -> None:
    """Write the exact tar whose files are in ``tree``.  The caller checks the diff ID."""
    root = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path, size, raw in _records(recipe):
            if path is None:
                write(raw)
            else:
                _copy(root, path, size, write)
    finally:
        os.close(root)


def measure(recipe: Path) -> int:
    """How long the tar is."""
    with open(recipe, "rb") as file:
        file.seek(-_LAST.size, os.SEEK_END)
        magic, length, size = _LAST.unpack(file.read(_LAST.size))
    if (magic, length) != (_SKIPPED, _SIZE.size):
        raise Internal(f"recipe {recipe.name}: cut short")
    return int(size)


def _copy(root: int, path: str, size: int, write: Callable[[bytes], object]) -> None:
    try:
        fd = openat2(root, path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, 0, RESOLVE | flags.RESOLVE_NO_XDEV)
    except OSError as error:
        raise Internal(f"layer file {path}: {os.strerror(error.errno or 0)}: the snapshot was changed") from None
    try:
        left = size
        while left:
            data = os.read(fd, min(left, CHUNK))
            if not data:
                raise Internal(f"layer file {path}: shorter than it was: the snapshot was changed")
            write(data)
            left -= len(data)
    finally:
        os.close(fd)


def _records(recipe: Path) -> Iterator[tuple[str | None, int, bytes]]:
    """(path, size, b"") for a file's data, (None, 0, bytes) for bytes."""
    with open(recipe, "rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as plain:
        stream = io.BufferedReader(cast(io.RawIOBase, plain), CHUNK)
        while kind := stream.read(1):
            if kind == _FILE:
                path = os.fsdecode(_take(stream, *_PATH.unpack(_take(stream, _PATH.size))))
                yield path, _SIZE.unpack(_take(stream, _SIZE.size))[0], b""
            else:
                yield None, 0, _take(stream, *_LENGTH.unpack(_take(stream, _LENGTH.size)))


def _take(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise Internal("a recipe was cut short")
    return data
