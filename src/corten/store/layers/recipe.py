"""How to print an applied tar's exact bytes again: everything but the files' data, and where the data is.

A layer that came as a tar has a digest that other registries know.  Its files are in the snapshot already, so only the
rest is kept: headers, padding, and references, as zstd-compressed records

    R <u32 length> <bytes>                    these bytes
    F <u16 length> <path> <u64 size>          the data of this file

A tar that cannot be told so (sparse files, entries that replace one another) is kept whole, as records of bytes.
Owns: the recipe files.  Who reads them: print_tar(), and layers/pack.py for layers that were made here.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import zstandard

from corten.errors import Internal
from corten.kernel import flags
from corten.kernel.paths import openat2
from corten.store.layers.target import RESOLVE

_RAW, _FILE = b"R", b"F"
_LENGTH = struct.Struct("<I")
_PATH = struct.Struct("<H")
_SIZE = struct.Struct("<Q")
_FLUSH = 1 << 18
CHUNK = 1 << 20


class RecipeWriter:
    """Takes the bytes as the reader passes them; commit() makes the file appear."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._staged = path.with_name(f"{path.name}.{os.getpid()}")
        self._raw = bytearray()
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
        self._out.write(_FILE + _PATH.pack(len(name)) + name + _SIZE.pack(size))

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
        self._raw = bytearray()
        self._lost = False

    def commit(self) -> bool:
        """Make the recipe appear, if it tells everything."""
        if self._lost:
            return False
        self._flush()
        self._out.flush(zstandard.FLUSH_FRAME)
        self._file.flush()
        os.rename(self._staged, self._path)
        return True

    def close(self) -> None:
        """Remove what was not committed."""
        self._file.close()
        self._staged.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._raw:
            self._out.write(_RAW + _LENGTH.pack(len(self._raw)) + self._raw)
            self._raw = bytearray()


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
    return sum(size + len(raw) for _, size, raw in _records(recipe))


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
    with open(recipe, "rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:

        def take(size: int) -> bytes:
            parts = bytearray()
            while len(parts) < size:
                part = stream.read(size - len(parts))
                if not part:
                    raise Internal(f"recipe {recipe.name}: cut short")
                parts += part
            return bytes(parts)

        while kind := stream.read(1):
            if kind == _FILE:
                path = os.fsdecode(take(_PATH.unpack(take(_PATH.size))[0]))
                yield path, _SIZE.unpack(take(_SIZE.size))[0], b""
            else:
                yield None, 0, take(_LENGTH.unpack(take(_LENGTH.size))[0])
