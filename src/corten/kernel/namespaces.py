"""Namespaces: leaving, joining, and naming them.

Owns: unshare(2), setns(2), the OCI names of the kinds, user-namespace maps.  For making a process in new ones see
``process.clone3``.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence

from corten.kernel import flags, libc

CLONE_FLAGS = {
    "user": flags.CLONE_NEWUSER,
    "mount": flags.CLONE_NEWNS,
    "uts": flags.CLONE_NEWUTS,
    "ipc": flags.CLONE_NEWIPC,
    "network": flags.CLONE_NEWNET,
    "pid": flags.CLONE_NEWPID,
    "cgroup": flags.CLONE_NEWCGROUP,
    "time": flags.CLONE_NEWTIME,
}
"""OCI's names of the namespaces, to clone flags."""

PROC_NAMES = {"network": "net", "mount": "mnt"}
"""Where /proc/PID/ns spells a kind differently."""


def unshare(clone_flags: int) -> None:
    """See unshare(2)."""
    libc.unshare(clone_flags)


def setns(fd: int, clone_flags: int) -> None:
    """Join one namespace by its descriptor, or several by a pidfd.  See setns(2)."""
    libc.setns(fd, clone_flags)


def open_of(pid: int | str, kind: str) -> int:
    """A descriptor of a process's namespace, by OCI's name of the kind."""
    return os.open(f"/proc/{pid}/ns/{PROC_NAMES.get(kind, kind)}", os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def visiting(fd: int, kind: str) -> Iterator[None]:
    """Be in another namespace for the length of a ``with``.  Only for processes with one thread."""
    home_fd = open_of("self", "pid_for_children" if kind == "pid" else kind)
    try:
        setns(fd, CLONE_FLAGS[kind])
        try:
            yield
        finally:
            setns(home_fd, CLONE_FLAGS[kind])
    finally:
        os.close(home_fd)


def mapped_user(uids: Sequence[tuple[int, int, int]], gids: Sequence[tuple[int, int, int]]) -> int:
    """A descriptor of a new user namespace with these maps and nobody in it: what an id-mapped mount is told by."""
    told_fd, tell_fd = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            unshare(flags.CLONE_NEWUSER)
            os.write(tell_fd, b"1")
            signal.pause()
        finally:
            os._exit(1)
    try:
        os.close(tell_fd)
        if not os.read(told_fd, 1):
            raise OSError(1, "no user namespace can be made: see /proc/sys/user/max_user_namespaces")
        write_id_maps(pid, uids, gids)
        return open_of(pid, "user")
    finally:
        os.close(told_fd)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def write_id_maps(pid: int, uids: Sequence[tuple[int, int, int]], gids: Sequence[tuple[int, int, int]]) -> None:
    """Fill a new user namespace's maps: (inside, outside, length).  See user_namespaces(7)."""
    for name, rows in (("uid_map", uids), ("gid_map", gids)):
        text = "".join(f"{inside} {outside} {length}\n" for inside, outside, length in rows)
        with open(f"/proc/{pid}/{name}", "w", encoding="ascii") as stream:
            stream.write(text)
