"""Whole trees: counting and copying.

Owns: count_tree(), copy_tree().  A copy keeps owners, modes, times, attributes, hard links, devices and holes, and
shares data blocks where the file system can.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path

_FICLONE = 0x40049409
_NO_CLONE = (errno.EOPNOTSUPP, errno.EINVAL, errno.EXDEV, errno.ENOTTY, errno.ENOSYS)
_NO_XATTR = (errno.EOPNOTSUPP, errno.EPERM)
_PIECE = 1 << 30


def count_tree(root: Path) -> tuple[int, int]:
    """Bytes of regular files (each inode once) and the number of inodes beneath ``root``."""
    size, inodes = 0, 0
    linked: set[tuple[int, int]] = set()
    pending = [os.fspath(root)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    pending.append(entry.path)
                elif found.st_nlink > 1:
                    if (found.st_dev, found.st_ino) in linked:
                        continue
                    linked.add((found.st_dev, found.st_ino))
                inodes += 1
                size += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return size, inodes


def copy_tree(source: Path, target: Path) -> None:
    """Copy what is in ``source``, and its own attributes, into the directory ``target``, which is empty.

    A container may be at work in the source: what it removes while we look was not there.
    """
    linked: dict[tuple[int, int], str] = {}
    directories = [(os.fspath(source), os.fspath(target))]
    at = 0
    while at < len(directories):
        here, there = directories[at]
        at += 1
        with contextlib.suppress(FileNotFoundError), os.scandir(here) as entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                new = f"{there}/{entry.name}"
                if stat.S_ISDIR(found.st_mode):
                    os.mkdir(new, 0o700)
                    directories.append((entry.path, new))
                    continue
                if found.st_nlink > 1:
                    first = linked.setdefault((found.st_dev, found.st_ino), new)
                    if first != new:
                        os.link(first, new, follow_symlinks=False)
                        continue
                with contextlib.suppress(FileNotFoundError):
                    copy_entry(entry.path, new, found)
    for here, there in reversed(directories):
        with contextlib.suppress(FileNotFoundError):
            copy_attributes(here, there, os.lstat(here))


def copy_entry(source: str, target: str, found: os.stat_result) -> None:
    """Copy one thing that is no directory."""
    if stat.S_ISLNK(found.st_mode):
        os.symlink(os.readlink(source), target)
    elif stat.S_ISREG(found.st_mode):
        _copy_file(source, target)
    elif stat.S_ISSOCK(found.st_mode):
        return
    else:
        os.mknod(target, found.st_mode, found.st_rdev)
    copy_attributes(source, target, found)


def copy_attributes(source: str, target: str, found: os.stat_result, *, xattrs: bool = True) -> None:
    """Owner, mode, extended attributes, times."""
    os.chown(target, found.st_uid, found.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(found.st_mode):
        os.chmod(target, stat.S_IMODE(found.st_mode))
    for name in os.listxattr(source, follow_symlinks=False) if xattrs else ():
        try:
            os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_XATTR:
                raise
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns), follow_symlinks=False)


def _copy_file(source: str, target: str) -> None:
    with open(source, "rb") as here, open(target, "xb") as there:
        try:
            fcntl.ioctl(there, _FICLONE, here.fileno())
            return
        except OSError as error:
            if error.errno not in _NO_CLONE:
                raise
        _copy_data(here.fileno(), there.fileno(), os.fstat(here.fileno()).st_size)


def _copy_data(here: int, there: int, size: int) -> None:
    """The pieces that hold data; holes stay holes."""
    at = 0
    while at < size:
        try:
            at = os.lseek(here, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break  # a hole up to the end
        end = os.lseek(here, at, os.SEEK_HOLE)
        os.lseek(here, at, os.SEEK_SET)
        os.lseek(there, at, os.SEEK_SET)
        while at < end:
            copied = os.copy_file_range(here, there, min(end - at, _PIECE))
            if not copied:
                break
            at += copied
    os.ftruncate(there, size)
