"""What ext4 is told about directories: chattr(1), ioctl_iflags(2).

A new inode of ext4 lies near its directory, and without a journal (as virtual machines' disks often are) one that was
freed within the last minutes is not taken again: the search for a free one steps over each of them (``find_inode_bit``
in fs/ext4/ialloc.c).  So to fill a directory where as large a one was just deleted takes half a millisecond a file,
twenty times the usual.  Whoever makes and deletes large trees spreads them over the disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time

_FS_IOC_GETFLAGS = 0x80086601
_FS_IOC_SETFLAGS = 0x40086602
_FS_TOPDIR_FL = 0x00020000
# Making an inode takes 20 to 40 microseconds; where thousands were freed just now, 100 to 500.
_PROBES, SLOW_NS = 3, 80_000
_INT = struct.Struct("i")


def spread(path: str | os.PathLike[str]) -> None:
    """Have the directories of ``path`` laid far from one another, where the file system is ext4; nothing elsewhere."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            (flags,) = _INT.unpack(fcntl.ioctl(fd, _FS_IOC_GETFLAGS, bytes(_INT.size)))
            if not flags & _FS_TOPDIR_FL:
                fcntl.ioctl(fd, _FS_IOC_SETFLAGS, _INT.pack(flags | _FS_TOPDIR_FL))
    finally:
        os.close(fd)


def is_good_ground(path: str | os.PathLike[str]) -> bool:
    """Are inodes made quickly in the empty directory ``path``?  Tells by making some; a guess, which costs little."""
    probe = os.path.join(path, "probe")
    for _ in range(_PROBES):
        begin = time.perf_counter_ns()
        os.mkdir(probe)
        took = time.perf_counter_ns() - begin
        os.rmdir(probe)
        if took < SLOW_NS:
            return True
    return False
