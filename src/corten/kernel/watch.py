"""Being told of changes in a directory.  See inotify(7)."""

from __future__ import annotations

import os

from corten.kernel import flags, libc


def directory(path: str) -> int:
    """A non-blocking inotify descriptor that becomes readable when a file in the directory grows, comes or goes."""
    fd = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    try:
        events = flags.IN_MODIFY | flags.IN_MOVED_FROM | flags.IN_MOVED_TO | flags.IN_CREATE | flags.IN_DELETE_SELF
        libc.inotify_add_watch(fd, os.fsencode(path), events)
    except BaseException:
        os.close(fd)
        raise
    return fd


def drain(fd: int) -> None:
    """Forget what has happened so far."""
    try:
        while os.read(fd, 65536):
            pass
    except BlockingIOError:
        pass


def file(path: str) -> int:
    """The same for one file that changes."""
    fd = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    try:
        libc.inotify_add_watch(fd, os.fsencode(path), flags.IN_MODIFY)
    except BaseException:
        os.close(fd)
        raise
    return fd
