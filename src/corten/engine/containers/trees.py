"""A copy of a tree with everything about it: owners, modes, times, links, device nodes, extended attributes.

Owns: copying between two roots, descriptor by descriptor; neither side's links are followed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

from corten.kernel import files
from corten.kernel.paths import Root

_CHUNK = 1 << 20


def copy_tree(source: Root, target: Root) -> None:
    """Make ``target`` (empty) what ``source`` is, the directory itself included."""
    source_fd, target_fd = (root.open("/", os.O_RDONLY | os.O_DIRECTORY) for root in (source, target))
    try:
        _copy_directory(source_fd, target_fd)
    finally:
        os.close(source_fd)
        os.close(target_fd)


def _copy_directory(source_fd: int, target_fd: int) -> None:
    for name in os.listdir(source_fd):
        status = os.stat(name, dir_fd=source_fd, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            os.mkdir(name, 0o700, dir_fd=target_fd)
            with _directory(name, source_fd) as below, _directory(name, target_fd) as copy:
                _copy_directory(below, copy)
        else:
            _copy_entry(name, status, source_fd, target_fd)
    _copy_attributes(os.fstat(source_fd), source_fd, target_fd)


@contextlib.contextmanager
def _directory(name: str, parent_fd: int) -> Iterator[int]:
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
    try:
        yield fd
    finally:
        os.close(fd)


def _copy_entry(name: str, status: os.stat_result, source_fd: int, target_fd: int) -> None:
    mode = status.st_mode
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(name, dir_fd=source_fd), name, dir_fd=target_fd)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=target_fd, follow_symlinks=False)
    elif stat.S_ISREG(mode):
        _copy_file(name, status, source_fd, target_fd)
    elif not stat.S_ISSOCK(mode):
        os.mknod(name, mode, status.st_rdev, dir_fd=target_fd)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=target_fd, follow_symlinks=False)
        os.chmod(name, stat.S_IMODE(mode), dir_fd=target_fd)


def _copy_file(name: str, status: os.stat_result, source_fd: int, target_fd: int) -> None:
    read_fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=source_fd)
    try:
        write_fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target_fd)
        try:
            left = status.st_size
            while left > 0 and (sent := os.sendfile(write_fd, read_fd, None, min(left, _CHUNK))):
                left -= sent
            _copy_attributes(status, read_fd, write_fd)
        finally:
            os.close(write_fd)
    finally:
        os.close(read_fd)


def _copy_attributes(status: os.stat_result, source_fd: int, target_fd: int) -> None:
    os.fchown(target_fd, status.st_uid, status.st_gid)
    os.fchmod(target_fd, stat.S_IMODE(status.st_mode))
    for key, value in files.xattrs(source_fd).items():
        if not key.startswith("trusted.overlay."):
            with contextlib.suppress(OSError):
                os.setxattr(target_fd, key, value)
    os.utime(target_fd, ns=(status.st_atime_ns, status.st_mtime_ns))
