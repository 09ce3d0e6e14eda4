"""A tree of a container as a tar: owners, modes, times, links, devices, extended attributes."""

from __future__ import annotations

import contextlib
import os
import stat
import tarfile
from collections.abc import Callable
from typing import Protocol

from corten.kernel import files
from corten.kernel.paths import Root

_CHUNK = 1 << 20
_KINDS = {
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFREG: tarfile.REGTYPE,
}
_XATTR = "SCHILY.xattr."


class Sink(Protocol):
    """Where the bytes go."""

    def write(self, data: bytes) -> int: ...


def _same(owner: int) -> int:
    return owner


def write_tree(
    sink: Sink, root: Root, path: str, name: str, *, follow: bool = False, shift: Callable[[int], int] = _same
) -> None:
    """``path`` and all beneath it, called ``name``; an empty name leaves the directory itself out.

    ``shift`` says who an owner is inside: see userids.py.
    """
    written: dict[tuple[int, int], str] = {}
    if name:
        _write(sink, root, path, name, root.stat(path, follow=follow), written, shift)
    if stat.S_ISDIR(root.stat(path, follow=follow).st_mode):
        prefix = path.rstrip("/")
        for inside, found in root.walk(path):
            below = inside.removeprefix(prefix).lstrip("/")
            with contextlib.suppress(FileNotFoundError):  # deleted while we look
                _write(sink, root, inside, f"{name.rstrip('/')}/{below}" if name else below, found, written, shift)
    sink.write(bytes(tarfile.BLOCKSIZE * 2))


def _write(
    sink: Sink,
    root: Root,
    path: str,
    name: str,
    found: os.stat_result,
    written: dict[tuple[int, int], str],
    shift: Callable[[int], int],
) -> None:
    kind = _KINDS.get(stat.S_IFMT(found.st_mode))
    if kind is None:
        return  # sockets have no place in a tar
    info = tarfile.TarInfo(name + ("/" if kind == tarfile.DIRTYPE else ""))
    info.type, info.mode = kind, stat.S_IMODE(found.st_mode)
    info.uid, info.gid = shift(found.st_uid), shift(found.st_gid)
    info.mtime = int(found.st_mtime)
    if kind == tarfile.SYMTYPE:
        info.linkname = root.readlink(path)
    elif kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        info.devmajor, info.devminor = os.major(found.st_rdev), os.minor(found.st_rdev)
    elif kind == tarfile.REGTYPE:
        first = written.get((found.st_dev, found.st_ino)) if found.st_nlink > 1 else None
        if first is not None:
            info.type, info.linkname = tarfile.LNKTYPE, first
        else:
            written[found.st_dev, found.st_ino] = info.name
            _write_file(sink, root, path, info)
            return
    _write_header(sink, info, _attributes(root, path) if kind == tarfile.DIRTYPE else {})


def _write_header(sink: Sink, info: tarfile.TarInfo, attributes: dict[str, str]) -> None:
    info.pax_headers = attributes
    sink.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))


def _attributes(root: Root, path: str) -> dict[str, str]:
    fd = root.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY)
    try:
        return _xattrs(fd)
    finally:
        os.close(fd)


def _xattrs(fd: int) -> dict[str, str]:
    return {
        f"{_XATTR}{key}": value.decode("utf-8", "surrogateescape")
        for key, value in files.xattrs(fd).items()
        if not key.startswith(("trusted.overlay.", "user.overlay."))
    }


def _write_file(sink: Sink, root: Root, path: str, info: tarfile.TarInfo) -> None:
    fd = root.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY)
    try:
        size = info.size = os.fstat(fd).st_size
        _write_header(sink, info, _xattrs(fd))
        left = size
        while left > 0:
            # A file that shrinks while it is read is filled up: the header has told its size.
            data = os.read(fd, min(left, _CHUNK)) or bytes(min(left, _CHUNK))
            sink.write(data)
            left -= len(data)
        sink.write(bytes(-size % tarfile.BLOCKSIZE))
    finally:
        os.close(fd)
