"""A tar becomes files in a directory of a container.

Owns: the order in which a hostile tar can do no harm: every name is resolved beneath the directory, what is in the
way is replaced and never followed, a hard link may only name what is beneath it too.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import stat
import tarfile
from collections.abc import Callable
from typing import Protocol

from corten.kernel.paths import Root

_CHUNK = 1 << 20
_XATTR = "SCHILY.xattr."


class Broken(Exception):
    """The stream is no tar, or not one that fits here."""


class Source(Protocol):
    """Where the bytes come from."""

    def read(self, size: int) -> bytes: ...


def _same(owner: int) -> int:
    return owner


def extract(
    source: Source,
    root: Root,
    *,
    keep_kinds: bool = False,
    owner: tuple[int, int] | None = None,
    shift: Callable[[int], int] = _same,
) -> None:
    """Everything in the tar; ``keep_kinds`` refuses to put a file where a directory is, or the other way round.

    ``shift`` says who an owner is outside: see userids.py.
    """
    directories: list[tuple[str, tarfile.TarInfo]] = []
    try:
        with tarfile.open(fileobj=source, mode="r|*", bufsize=_CHUNK) as tar:  # type: ignore[call-overload]
            for info in tar:
                name = _inside(info.name)
                uid, gid = owner or (info.uid, info.gid)
                _extract(tar, info, name, root, keep_kinds, (shift(uid), shift(gid)))
                if info.isdir():
                    directories.append((name, info))
    except tarfile.ReadError as error:
        if "empty file" not in str(error):
            raise Broken(str(error)) from error
    except (tarfile.TarError, EOFError) as error:
        raise Broken(str(error)) from error
    # Times of directories last: what was put into them has changed them.
    for name, info in reversed(directories):
        with contextlib.suppress(OSError):
            _set_times(root, name, info)


def _inside(name: str) -> str:
    clean = posixpath.normpath("/" + name)
    return "/" + clean.lstrip("/")


def _extract(
    tar: tarfile.TarFile, info: tarfile.TarInfo, name: str, root: Root, keep_kinds: bool, owner: tuple[int, int]
) -> None:
    if name != "/":
        _make_room(root, name, info.isdir(), keep_kinds)
    if info.isdir():
        os.close(root.mkdirs(name, info.mode & 0o7777))
    elif info.isreg():
        _write_file(tar, info, name, root)
    elif info.issym():
        root.symlink(info.linkname, name)
    elif info.islnk():
        root.link(_inside(info.linkname), name)
        return
    elif info.ischr() or info.isblk() or info.isfifo():
        _make_node(root, name, info)
    else:
        return
    _set_owner(root, name, info, owner)


def _make_room(root: Root, name: str, is_directory: bool, keep_kinds: bool) -> None:
    os.close(root.mkdirs(posixpath.dirname(name)))
    try:
        found = root.stat(name, follow=False)
    except FileNotFoundError:
        return
    was_directory = stat.S_ISDIR(found.st_mode)
    if was_directory and is_directory:
        return
    if keep_kinds and was_directory and not is_directory:
        raise Broken(f"cannot overwrite directory {name} with non-directory")
    if keep_kinds and is_directory:
        raise Broken(f"cannot overwrite non-directory {name} with directory")
    root.rmtree(name)


def _write_file(tar: tarfile.TarFile, info: tarfile.TarInfo, name: str, root: Root) -> None:
    stream = tar.extractfile(info)
    fd = root.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb", buffering=0) as file:
        while stream is not None and (data := stream.read(_CHUNK)):
            file.write(data)


def _make_node(root: Root, name: str, info: tarfile.TarInfo) -> None:
    kind = 0o020000 if info.ischr() else 0o060000 if info.isblk() else 0o010000
    parent_fd, base = root.open_parent(name)
    try:
        os.mknod(base, kind | info.mode & 0o7777, os.makedev(info.devmajor, info.devminor), dir_fd=parent_fd)
    finally:
        os.close(parent_fd)


def _set_owner(root: Root, name: str, info: tarfile.TarInfo, owner: tuple[int, int]) -> None:
    uid, gid = owner
    parent_fd, base = root.open_parent(name)
    try:
        os.chown(base, uid, gid, dir_fd=parent_fd, follow_symlinks=False)
        if info.issym():
            return
        os.chmod(base, info.mode & 0o7777, dir_fd=parent_fd)
        os.utime(base, (info.mtime, info.mtime), dir_fd=parent_fd, follow_symlinks=False)
    finally:
        os.close(parent_fd)
    _set_xattrs(root, name, info)


def _set_xattrs(root: Root, name: str, info: tarfile.TarInfo) -> None:
    wanted = {key.removeprefix(_XATTR): value for key, value in info.pax_headers.items() if key.startswith(_XATTR)}
    if not wanted or not (info.isreg() or info.isdir()):
        return
    fd = root.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        for key, value in wanted.items():
            with contextlib.suppress(OSError):
                os.setxattr(fd, key, value.encode("utf-8", "surrogateescape"))
    finally:
        os.close(fd)


def _set_times(root: Root, name: str, info: tarfile.TarInfo) -> None:
    parent_fd, base = root.open_parent(name)
    try:
        os.utime(base, (info.mtime, info.mtime), dir_fd=parent_fd, follow_symlinks=False)
    finally:
        os.close(parent_fd)
