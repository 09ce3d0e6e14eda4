"""Entries -> the bytes of a tar, the same for the same entries.

Owns: which form each entry takes: ustar where it fits, a pax header where it does not.  Knows nothing of directories:
read pack.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from corten.errors import Internal
from corten.store.layers import header, pax
from corten.store.layers.header import BLOCK, Entry, padding

# GNU tar and Docker write in records of 20 blocks; image tools end with the two zero blocks alone, as Go's does.
END = bytes(2 * BLOCK)
CHUNK = 1 << 20
_PAX_NAME = b"PaxHeaders.0/"


class TarWriter:
    """Prints entries through ``write``; small pieces are gathered into chunks."""

    def __init__(self, write: Callable[[bytes | bytearray], object]) -> None:
        self._write = write
        self._pending = bytearray()
        self.size = 0

    def add(self, entry: Entry) -> None:
        """Print the header (or headers) of ``entry``."""
        records = {pax.XATTR + os.fsencode(name): value for name, value in entry.xattrs.items()}
        block = header.build(entry)
        if block is None:
            entry, more = _fitted(entry)
            records |= more
            block = header.build(entry)
            if block is None:
                raise Internal(f"cannot print a tar header for {entry.name[:80]!r}")
        if records:
            data = pax.build(records)
            name = _PAX_NAME + entry.name.rstrip(b"/").rpartition(b"/")[2]
            extended = header.build(Entry(name[: header.NAME_SIZE], header.PAX, mode=0o644, size=len(data)))
            if extended is None:
                raise Internal(f"cannot print a pax header for {entry.name[:80]!r}")
            self._put(extended + data + bytes(padding(len(data))))
        self._put(block)

    def data(self, fd: int, size: int) -> None:
        """Print ``size`` bytes of the file open at ``fd``, and the padding."""
        left = size
        while left:
            piece = os.read(fd, min(left, CHUNK))
            if not piece:
                # A running container cut the file while we read: zeros, as GNU tar does.
                piece = bytes(min(left, CHUNK))
            left -= len(piece)
            self._put(piece)
        if size % BLOCK:
            self._put(bytes(padding(size)))

    def text(self, data: bytes) -> None:
        """Print ``data`` as the data of the entry just added, and the padding."""
        self._put(data + bytes(padding(len(data))))

    def raw(self, data: bytes | bytearray) -> None:
        """Print a piece of the data of the entry just added; pad() ends it."""
        self._put(data)

    def pad(self, size: int) -> None:
        """Fill the last block of data of ``size`` bytes."""
        if size % BLOCK:
            self._put(bytes(padding(size)))

    def finish(self) -> None:
        """Print the end."""
        self._put(END)
        self._flush()

    def _put(self, data: bytes | bytearray) -> None:
        self.size += len(data)
        if len(data) >= CHUNK >> 2:
            self._flush()
            self._write(data)
            return
        self._pending += data
        if len(self._pending) >= CHUNK >> 2:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._write(self._pending)
            self._pending = bytearray()


class Counter(TarWriter):
    """Counts what would be printed, and reads no data."""

    def __init__(self) -> None:
        super().__init__(lambda data: None)

    def data(self, fd: int, size: int) -> None:
        """As much as it would be."""
        self.size += size + padding(size)


def _fitted(entry: Entry) -> tuple[Entry, dict[bytes, bytes]]:
    """The entry cut to what ustar holds, and the pax records that tell the truth."""
    records: dict[bytes, bytes] = {}
    cut = replace(entry)
    if header.split_name(entry.name) is None:
        records[b"path"] = entry.name
        cut.name = entry.name[: header.NAME_SIZE - 1] + (b"/" if entry.name.endswith(b"/") else b"")
    if len(entry.link) > header.LINK_SIZE:
        records[b"linkpath"] = entry.link
        cut.link = entry.link[: header.LINK_SIZE]
    if entry.uid > header.MAX_OCTAL_7:
        records[b"uid"] = b"%d" % entry.uid
        cut.uid = 0
    if entry.gid > header.MAX_OCTAL_7:
        records[b"gid"] = b"%d" % entry.gid
        cut.gid = 0
    if entry.size > header.MAX_OCTAL_11:
        records[b"size"] = b"%d" % entry.size
        cut.size = 0
    seconds = entry.mtime_ns // 1_000_000_000
    if not 0 <= seconds <= header.MAX_OCTAL_11:
        records[b"mtime"] = b"%d" % seconds
        cut.mtime_ns = 0
    return cut, records
