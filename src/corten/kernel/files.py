"""Files that survive a crash: write-sync-rename, locks that die with their holder, sealed memory files.

Owns nothing on disk; callers say which path.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator

_F_OFD_SETLK = 37
_F_OFD_SETLKW = 38
_F_ADD_SEALS = 1033
_ALL_SEALS = 0x1 | 0x2 | 0x4 | 0x8  # seal, shrink, grow, write


def write_atomically(path: str | os.PathLike[str], data: bytes, *, mode: int = 0o644, sync: bool = True) -> None:
    """Readers see the old content or the new, never a part.  Without ``sync`` that holds for crashes of processes
    only, not of the machine."""
    target = os.fspath(path)
    part = f"{target}.{os.getpid()}.part"
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as stream:
            stream.write(data)
            if sync:
                stream.flush()
                os.fsync(fd)
        os.rename(part, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise
    if sync:
        sync_directory(os.path.dirname(target) or ".")


def read_small(path: str) -> bytes:
    """A file of /proc or /sys, which gives all it has at once.  With less ado than ``open``, for where that counts."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 1 << 16)
    finally:
        os.close(fd)


def write_small(path: str, text: str) -> None:
    """The same for writing: one write, no other."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def sync_directory(path: str) -> None:
    """Make renames in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def locked(path: str | os.PathLike[str], *, wait: bool = True) -> Iterator[int]:
    """Hold an exclusive lock on a file, made if missing.  BlockingIOError when it is taken and ``wait`` is false.

    Open-file-description locks: unlike the classic ones they are not lost when any descriptor of the file is closed,
    and they are released by the kernel when the holder dies.  See fcntl(2).
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        whole_file = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(fd, _F_OFD_SETLKW if wait else _F_OFD_SETLK, whole_file)
        yield fd
    finally:
        os.close(fd)


def sealed_copy(path: str, name: str) -> int:
    """A copy of a file in memory that nobody, not even root, can change any more.  See memfd_create(2)."""
    memory_fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(path, "rb", buffering=0) as source:
            while os.sendfile(memory_fd, source.fileno(), None, 1 << 24):
                pass
        os.fchmod(memory_fd, 0o555)
        fcntl.fcntl(memory_fd, _F_ADD_SEALS, _ALL_SEALS)
    except BaseException:
        os.close(memory_fd)
        raise
    return memory_fd


def xattrs(fd_or_path: int | str) -> dict[str, bytes]:
    """All extended attributes of a file; empty where the file system has none."""
    try:
        return {name: os.getxattr(fd_or_path, name) for name in os.listxattr(fd_or_path)}
    except OSError:
        return {}
