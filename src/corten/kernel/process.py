"""Processes: clone3, prctl, pidfds, descriptors.

Owns: clone3(2), prctl(2), close_range(2), pidfd_getfd(2), sethostname.  Signals and waiting are the
standard library's.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import struct

from corten.kernel import flags, libc


def clone3(clone_flags: int, *, cgroup_fd: int | None = None, for_parent: bool = False) -> tuple[int, int]:
    """Fork into new namespaces.  (0, -1) in the child; the child's pid and pidfd in the parent.  See clone3(2).

    With ``for_parent`` the child is our sibling: its parent is ours (CLONE_PARENT).

    Only for processes with one thread.  The interpreter's own work around a fork is done, as os.fork would.
    """
    pidfd = ctypes.c_int(-1)
    arguments = libc.CloneArgs(
        flags=clone_flags | flags.CLONE_PIDFD,
        pidfd=ctypes.addressof(pidfd),
        exit_signal=0 if for_parent else signal.SIGCHLD,  # a sibling has ours
    )
    if for_parent:
        arguments.flags |= flags.CLONE_PARENT
    if cgroup_fd is not None:
        arguments.flags |= flags.CLONE_INTO_CGROUP
        arguments.cgroup = cgroup_fd
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = -1
    try:
        pid = libc.clone3(ctypes.byref(arguments), ctypes.sizeof(arguments))
    finally:
        if pid == 0:
            ctypes.pythonapi.PyOS_AfterFork_Child()
        else:
            ctypes.pythonapi.PyOS_AfterFork_Parent()
    return (0, -1) if pid == 0 else (pid, pidfd.value)


def close_range(first: int, last: int = 0xFFFFFFFF) -> None:
    """Close descriptors first…last.  See close_range(2)."""
    if first <= last:
        libc.close_range(first, last, 0)


def close_all_but(keep: set[int]) -> None:
    """Close every descriptor from 3 on that is not in ``keep``."""
    first = 3
    for fd in sorted(fd for fd in keep if fd >= 3):
        close_range(first, fd - 1)
        first = fd + 1
    close_range(first)


def pidfd_getfd(pidfd: int, fd: int) -> int:
    """Another process's descriptor.  See pidfd_getfd(2)."""
    return int(libc.pidfd_getfd(pidfd, fd, 0))


def set_dumpable(value: bool) -> None:
    """Without it nobody but full root can look into this process until it executes.  See PR_SET_DUMPABLE."""
    libc.prctl(flags.PR_SET_DUMPABLE, int(value), 0, 0, 0)


def set_time_slice(nanoseconds: int) -> None:
    """Run sooner and for shorter (0.1 to 100 ms); children and threads made later do not inherit it.

    A process that others wait for is then not queued behind them.  Kernels before 6.12 take no notice.  See
    sched_setattr(2).
    """
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = struct.pack("IIQiIQQQ", 48, _SCHED_OTHER, _SCHED_FLAG_RESET_ON_FORK, nice, 0, nanoseconds, 0, 0)
    libc.sched_setattr(0, ctypes.create_string_buffer(attributes), 0)


def set_child_subreaper(value: bool) -> None:
    """Adopt orphaned grandchildren.  See PR_SET_CHILD_SUBREAPER."""
    libc.prctl(flags.PR_SET_CHILD_SUBREAPER, int(value), 0, 0, 0)


def set_parent_death_signal(signum: int) -> None:
    """Be signalled when the parent dies.  See PR_SET_PDEATHSIG."""
    libc.prctl(flags.PR_SET_PDEATHSIG, signum, 0, 0, 0)


def set_name(name: str) -> None:
    """What ps and top show for this process (15 bytes).  See proc_pid_comm(5)."""
    fd = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    os.write(fd, name.encode())
    os.close(fd)


def leave_session_keyring() -> None:
    """For a new and empty one, so that nothing we become can read our parent's keys.  See keyctl(2).

    Where a kernel has no keys, or a filter keeps us from them, there is nothing to leave.
    """
    with contextlib.suppress(OSError):
        libc.keyctl(flags.KEYCTL_JOIN_SESSION_KEYRING, None)


def set_hostname(name: str) -> None:
    """See sethostname(2)."""
    libc.sethostname(name.encode(), len(name.encode()))


def set_domainname(name: str) -> None:
    """See setdomainname(2)."""
    libc.setdomainname(name.encode(), len(name.encode()))


def start_time(pid: int) -> int:
    """When a process began, in clock ticks after boot: with the pid, an identity that is not reused."""
    with open(f"/proc/{pid}/stat", "rb") as stat_file:
        return int(stat_file.read().rpartition(b")")[2].split()[19])


_SCHED_OTHER, _SCHED_FLAG_RESET_ON_FORK = 0, 1
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1


def loopback_up() -> None:
    """Switch on "lo" in the current network namespace.  See netdevice(7)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14x", b"lo", 0)
        (interface_flags,) = struct.unpack_from("H", _ioctl(sock, _SIOCGIFFLAGS, request), 16)
        _ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", interface_flags | _IFF_UP))


def _ioctl(sock: socket.socket, request: int, argument: bytes) -> bytes:
    return fcntl.ioctl(sock.fileno(), request, argument)


def ioctl_fd(fd: int, request: int) -> int:
    """An ioctl whose answer is a descriptor, made close-on-exec."""
    answer = int(fcntl.ioctl(fd, request, 0))
    os.set_inheritable(answer, False)
    return answer


def set_title(title: str, pid: int | str = "self") -> None:
    """What ps shows as the command line: overwritten where the kernel keeps it, within the room there is.

    Of a process of our own user, too; that it cannot be done is no failure.
    """
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/stat", "rb") as stat_file:
            fields = stat_file.read().rpartition(b")")[2].split()
        start, room = int(fields[45]), int(fields[46]) - int(fields[45])
        memory_fd = os.open(f"/proc/{pid}/mem", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(memory_fd, title.encode()[: room - 1].ljust(room, b"\0"), start)
        finally:
            os.close(memory_fd)
