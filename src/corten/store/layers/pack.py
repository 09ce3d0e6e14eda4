"""The directory of a snapshot -> a tar, the same bytes for the same tree.

Owns: what overlay's marks become (whiteouts ``.wh.``, opaque directories ``.wh..wh..opq``), the order (by name, parents
first), and what is left out (sockets, overlay's own attributes, names of users, fractions of seconds).  This is the hot
path of every build step: for a small tree it takes well under a millisecond.  What comes of the bytes: hashed, written,
compressed, by the caller's ``write``.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corten.spec.digest import Digest
from corten.store.layers import header
from corten.store.layers.apply import WHITEOUT, WHITEOUT_OPAQUE
from corten.store.layers.header import Entry
from corten.store.layers.target import is_opaque, is_whiteout
from corten.store.layers.writer import Counter, TarWriter

KEPT_XATTRS = ("security.capability",)
KEPT_PREFIX = "user."
OVERLAY_PREFIX = "user.overlay."
_KINDS = {
    stat.S_IFREG: header.REGULAR,
    stat.S_IFDIR: header.DIRECTORY,
    stat.S_IFLNK: header.SYMLINK,
    stat.S_IFCHR: header.CHARACTER,
    stat.S_IFBLK: header.DEVICE,
    stat.S_IFIFO: header.FIFO,
}


@dataclass(frozen=True, slots=True)
class Packed:
    """What was printed."""

    diff_id: Digest
    tar_size: int
    size: int  # bytes of files, each inode once
    inodes: int

    @property
    def empty(self) -> bool:
        """Did the tree change nothing?"""
        return self.inodes == 0

    def to_json(self) -> dict[str, Any]:
        """For the pipe from a worker."""
        return {"diff_id": str(self.diff_id), "tar_size": self.tar_size, "size": self.size, "inodes": self.inodes}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Packed:
        """From the pipe."""
        return cls(Digest.parse(body["diff_id"]), body["tar_size"], body["size"], body["inodes"])


def pack(tree: Path, write: Callable[[bytes | bytearray], object] | None = None, *, epoch: int | None = None) -> Packed:
    """Print ``tree`` through ``write`` (or only hash it).  Times after ``epoch`` (seconds) become that, on disk too."""
    hashed = hashlib.sha256()
    if write is None:
        sink: Callable[[bytes | bytearray], object] = hashed.update
    else:
        out = write

        def sink(data: bytes | bytearray) -> None:
            hashed.update(data)
            out(data)

    packer = _Packer(TarWriter(sink), epoch)
    packer.directory(os.fspath(tree), b"")
    packer.writer.finish()
    return Packed(Digest.from_hash(hashed), packer.writer.size, packer.size, packer.inodes)


def measure(tree: Path) -> int:
    """How long the tar of ``tree`` is."""
    counter = Counter()
    packer = _Packer(counter, None)
    packer.directory(os.fspath(tree), b"")
    counter.finish()
    return counter.size


class _Packer:
    def __init__(self, writer: TarWriter, epoch: int | None) -> None:
        self.writer = writer
        self.size = 0
        self.inodes = 0
        self._epoch_ns = None if epoch is None else epoch * 1_000_000_000
        self._linked: dict[tuple[int, int], bytes] = {}

    def directory(self, root: str, prefix: bytes) -> None:
        """Print all that is beneath ``root``."""
        # An explicit stack: a hostile build may nest deeper than Python recurses.
        pending = [(root, prefix, iter(_names(root)))]
        while pending:
            path, above, names = pending[-1]
            name = next(names, None)
            if name is None:
                pending.pop()
                continue
            child, printed = f"{path}/{name}", above + os.fsencode(name)
            try:
                found = os.lstat(child)
            except FileNotFoundError:
                continue  # a running container may delete while we look
            self.inodes += 1
            if is_whiteout(found):
                self._whiteout(above + WHITEOUT.encode() + os.fsencode(name))
            elif stat.S_ISDIR(found.st_mode):
                printed += b"/"
                self.writer.add(self._entry(child, printed, found))
                if is_opaque(child):
                    self._whiteout(printed + WHITEOUT_OPAQUE.encode())
                pending.append((child, printed, iter(_names(child))))
            else:
                self._leaf(child, printed, found)

    def _leaf(self, path: str, name: bytes, found: os.stat_result) -> None:
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFSOCK:
            self.inodes -= 1
            return
        if found.st_nlink > 1:
            inode = (found.st_dev, found.st_ino)
            first = self._linked.setdefault(inode, name)
            if first != name:
                self.inodes -= 1
                entry = self._entry(path, name, found)
                entry.kind, entry.link, entry.size, entry.xattrs = header.LINK, first, 0, {}
                self.writer.add(entry)
                return
        if kind != stat.S_IFREG:
            self.writer.add(self._entry(path, name, found))
            return
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(fd)
            self.size += found.st_size
            self.writer.add(self._entry(path, name, found))
            if found.st_size:
                self.writer.data(fd, found.st_size)
        finally:
            os.close(fd)

    def _entry(self, path: str, name: bytes, found: os.stat_result) -> Entry:
        kind = _KINDS[stat.S_IFMT(found.st_mode)]
        device = kind in (header.CHARACTER, header.DEVICE)
        return Entry(
            name=name,
            kind=kind,
            mode=stat.S_IMODE(found.st_mode),
            uid=found.st_uid,
            gid=found.st_gid,
            size=found.st_size if kind == header.REGULAR else 0,
            mtime_ns=self._time(path, found),
            link=os.fsencode(os.readlink(path)) if kind == header.SYMLINK else b"",
            major=os.major(found.st_rdev) if device else 0,
            minor=os.minor(found.st_rdev) if device else 0,
            xattrs=_xattrs(path),
        )

    def _time(self, path: str, found: os.stat_result) -> int:
        if self._epoch_ns is None or found.st_mtime_ns <= self._epoch_ns:
            return found.st_mtime_ns
        # In the tree too, so that it prints the same bytes when the layer is pushed.
        os.utime(path, ns=(self._epoch_ns, self._epoch_ns), follow_symlinks=False)
        return self._epoch_ns

    def _whiteout(self, name: bytes) -> None:
        # A whiteout's time is the moment of the deletion and means nothing to anybody: left out, so that the same
        # tree has the same bytes.
        self.writer.add(Entry(name=name, mode=0o600))


def _names(path: str) -> list[str]:
    return sorted(os.listdir(path), key=os.fsencode)


def _xattrs(path: str) -> dict[str, bytes]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}
    return {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in names
        if name in KEPT_XATTRS or (name.startswith(KEPT_PREFIX) and not name.startswith(OVERLAY_PREFIX))
    }
