"""A stream of bytes -> the entries of a tar, and each entry's data.

Owns: the order of blocks, extended headers, sparse forms, and the bounds on what an entry may claim.  Knows nothing of
directories: read apply.py.  Hostile input gives Invalid, never unbounded memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from corten.errors import Invalid
from corten.store.layers import header, pax
from corten.store.layers.header import BLOCK, ZERO_BLOCK, Entry, padding

MAX_EXTENDED = 1 << 20
MAX_ENTRIES = 20_000_000
MAX_PATH = 4095
# Writers fill up their last record; nothing else belongs there.
MAX_TRAILING = 64 << 20


class Tap(Protocol):
    """Whoever wants to know the exact bytes that are not file data (recipe.py)."""

    def raw(self, data: bytes | memoryview) -> None:
        """These bytes were read."""

    def lose(self) -> None:
        """Bytes passed by that cannot be found again in a file."""


class TarReader:
    """Iterate for the entries; after each, copy() its data or leave it to be skipped."""

    def __init__(
        self, chunks: Iterable[bytes], tap: Tap | None = None, *, skip: Callable[[int], None] | None = None
    ) -> None:
        self._chunks = iter(chunks)
        self._skip = skip
        self._consumed = 0
        self._view = memoryview(b"")
        self._at = 0
        self._tap = tap
        self._left = 0
        self._pad = 0
        self._trailing = 0
        self._globals: dict[bytes, bytes] = {}

    def __iter__(self) -> Iterator[Entry]:
        for _ in range(MAX_ENTRIES):
            entry = self._next()
            if entry is None:
                return
            yield entry
            self._finish()
        raise Invalid(f"invalid tar stream: more than {MAX_ENTRIES} entries")

    @property
    def offset(self) -> int:
        """How far into the stream the next byte is: after an entry, where its data begins."""
        return self._consumed - (len(self._view) - self._at)

    def read(self, entry: Entry, limit: int) -> bytes:
        """The entry's data, of at most ``limit`` bytes."""
        if entry.size > limit or entry.sparse is not None:
            raise Invalid(f"invalid tar entry: {entry.name[:60]!r}: larger than {limit} bytes")
        data = bytearray()
        while len(data) < entry.size:
            data += self._some(entry.size - len(data))
        self._left = 0
        return bytes(data)

    def copy(self, entry: Entry, fd: int) -> None:
        """Write the entry's data to the file open at ``fd``."""
        if entry.sparse is None:
            self._copy(entry.size, fd)
            return
        if self._tap is not None:
            self._tap.lose()
        for offset, length in entry.sparse:
            os.lseek(fd, offset, os.SEEK_SET)
            self._copy(length, fd)
        os.ftruncate(fd, entry.real_size)

    def drain(self) -> None:
        """Read what follows the last entry: it counts for the digest."""
        self._pass(self._view[self._at :])
        for chunk in self._chunks:
            self._pass(memoryview(chunk))
        self._at = len(self._view)

    def _pass(self, rest: memoryview) -> None:
        self._trailing += len(rest)
        if self._trailing > MAX_TRAILING:
            raise Invalid("invalid tar stream: too many bytes after its end")
        if self._tap is not None:
            self._tap.raw(rest)

    def _next(self) -> Entry | None:
        records = self._globals
        name = link = None
        while True:
            block = self._block()
            if block is None:
                return None
            entry = header.parse(block)
            kind = entry.kind
            if kind == header.PAX:
                records = {**self._globals, **pax.parse(self._extended(entry))}
            elif kind == header.PAX_GLOBAL:
                self._globals = {**self._globals, **pax.parse(self._extended(entry))}
                records = {**records, **self._globals}
            elif kind == header.GNU_NAME:
                name = self._extended(entry).partition(b"\0")[0]
            elif kind == header.GNU_LINK:
                link = self._extended(entry).partition(b"\0")[0]
            elif kind == header.GNU_VOLUME:
                self._left, self._pad = 0, 0
            else:
                entry.name = name if name is not None else entry.name
                entry.link = link if link is not None else entry.link
                return self._begin(entry, block, records)

    def _begin(self, entry: Entry, block: bytes, records: dict[bytes, bytes]) -> Entry:
        """Apply the records, find the sparse map, and see that the claims are sane."""
        old_map: list[tuple[int, int]] | None = None
        if entry.kind == header.GNU_SPARSE:
            old_map, more = pax.old_sparse(block, first=True)
            entry.real_size = header.number(block[483:495])
            while more:
                extension, more = pax.old_sparse(bytes(self._take(BLOCK)), first=False)
                old_map += extension
                if len(old_map) > pax.MAX_PIECES:
                    raise Invalid("invalid tar header: malformed sparse map")
            entry.kind, entry.sparse = header.REGULAR, old_map
        if records:
            pax.overlay(entry, records)
        if entry.kind in (header.OLD_REGULAR, header.CONTIGUOUS):
            entry.kind = header.DIRECTORY if entry.name.endswith(b"/") else header.REGULAR
        self._check(entry)
        self._left, self._pad = entry.size, padding(entry.size)
        if entry.kind == header.REGULAR and pax.map_is_in_data(records):
            self._read_map(entry, records)
        if entry.sparse is not None:
            pax.check_sparse(entry)
        return entry

    def _check(self, entry: Entry) -> None:
        if entry.size < 0 or entry.real_size < 0:
            raise Invalid("invalid tar header: negative size")
        if len(entry.name) > MAX_PATH or len(entry.link) > MAX_PATH:
            raise Invalid(f"invalid tar header: file name too long: {entry.name[:60]!r}...")
        if not 0 <= entry.uid < 0xFFFFFFFF or not 0 <= entry.gid < 0xFFFFFFFF:
            raise Invalid(f"invalid tar header: {entry.name[:60]!r}: owner {entry.uid}:{entry.gid} out of range")
        if entry.kind in (header.LINK, header.SYMLINK, header.CHARACTER, header.DEVICE, header.DIRECTORY, header.FIFO):
            # Only regular files have data, whatever the size says (a hard link's size is its target's).
            entry.size = 0
        elif entry.kind != header.REGULAR:
            raise Invalid(f"invalid tar header: {entry.name[:60]!r}: unknown type {entry.kind!r}")

    def _read_map(self, entry: Entry, records: dict[bytes, bytes]) -> None:
        """GNU sparse 1.0: the data begins with the map, in lines, padded to a block."""
        entry.real_size = pax.real_size(records)
        text = bytearray()
        wanted = -1
        while wanted < 0 or text.count(b"\n") < wanted:
            if len(text) > MAX_EXTENDED or self._left < BLOCK:
                raise Invalid("invalid tar header: malformed sparse map")
            text += self._take(BLOCK)
            self._left -= BLOCK
            first, newline, _ = text.partition(b"\n")
            if newline and wanted < 0:
                wanted = 1 + 2 * pax.integer(bytes(first))
        numbers = [pax.integer(bytes(item)) for item in text.split(b"\n")[1:wanted]]
        entry.sparse = pax.pairs(numbers)
        entry.size = self._left

    def _extended(self, entry: Entry) -> bytes:
        if not 0 <= entry.size <= MAX_EXTENDED:
            raise Invalid("invalid tar header: extended header too long")
        data = bytes(self._take(entry.size))
        self._take(padding(entry.size))
        return data

    def _block(self) -> bytes | None:
        """The next header block; None at the end (a zero block, or no more bytes)."""
        if self._at == len(self._view) and not self._fill():
            return None
        block = bytes(self._take(BLOCK))
        return None if block == ZERO_BLOCK else block

    def _finish(self) -> None:
        """Pass by what is left of the entry."""
        if self._left and self._tap is not None:
            self._tap.lose()
        while self._left:
            if self._skip is not None and self._at == len(self._view):
                self._skip(self._left)
                self._consumed += self._left
                self._left = 0
                break
            self._left -= len(self._some(self._left))
        if self._pad:
            # docker: a tar that its client has changed (build -f elsewhere) ends right after the last file's data.
            if self._at < len(self._view) or self._fill():
                self._take(self._pad)
            self._pad = 0

    def _copy(self, size: int, fd: int) -> None:
        self._left -= size
        while size:
            part = self._some(size)
            size -= len(part)
            while part:
                part = part[os.write(fd, part) :]

    def _some(self, size: int) -> memoryview:
        """Up to ``size`` bytes, at least one."""
        if self._at == len(self._view) and not self._fill():
            raise Invalid("invalid tar stream: unexpected end of data")
        start = self._at
        self._at = min(start + size, len(self._view))
        return self._view[start : self._at]

    def _take(self, size: int) -> memoryview:
        """Exactly ``size`` bytes that are no file data."""
        end = self._at + size
        if end <= len(self._view):
            part = self._view[self._at : end]
            self._at = end
        else:
            joined = bytearray()
            while len(joined) < size:
                joined += self._some(size - len(joined))
            part = memoryview(joined)
        if self._tap is not None:
            self._tap.raw(part)
        return part

    def _fill(self) -> bool:
        for chunk in self._chunks:
            if chunk:
                self._consumed += len(chunk)
                self._view, self._at = memoryview(chunk), 0
                return True
        return False
