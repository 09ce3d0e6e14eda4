"""Capabilities: names to bits, and the sets of a process.  See capabilities(7).

Owns: capset(2), the bounding and the ambient set.  Which set a container gets is its spec's affair.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterable, Iterator

from corten.kernel import files, flags, libc

_IN_ORDER = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
    "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
    "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
    "PERFMON BPF CHECKPOINT_RESTORE"
)
NAMES = tuple(f"CAP_{name}" for name in _IN_ORDER.split())
"""In the order of their numbers."""

_NUMBERS = {name: number for number, name in enumerate(NAMES)}
_VERSION_3 = 0x20080522


def bit(name: str) -> int:
    """The mask of one capability: "CAP_CHOWN" -> 1.  ValueError for a name the kernel does not know."""
    try:
        return 1 << _NUMBERS[name]
    except KeyError:
        raise ValueError(f"unknown capability {name!r}") from None


def mask(names: Iterable[str]) -> int:
    """The union of bits."""
    total = 0
    for name in names:
        total |= bit(name)
    return total


def names(value: int) -> tuple[str, ...]:
    """The inverse of ``mask``."""
    return tuple(name for number, name in enumerate(NAMES) if value >> number & 1)


def of_process(pid: int | str = "self", which: str = "CapBnd") -> int:
    """One set of a process: CapInh, CapPrm, CapEff, CapBnd or CapAmb of /proc/PID/status."""
    return of_text(files.read_small(f"/proc/{pid}/status"), which)


def of_text(status: bytes, which: str) -> int:
    """One set out of the text of /proc/PID/status."""
    _, found, rest = status.partition(f"\n{which}:".encode())
    if not found:
        raise OSError(3, "no such capability set", which)
    return int(rest[: rest.index(b"\n")], 16)


def limit_bounding(keep: int, present: int) -> None:
    """Drop every capability of ``present`` (the current bounding set) that is not in ``keep``."""
    for number in range(present.bit_length()):
        if present >> number & 1 and not keep >> number & 1:
            libc.prctl(flags.PR_CAPBSET_DROP, number, 0, 0, 0)


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set the current process's three sets.  See capset(2)."""
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    for half in (0, 1):
        for position, value in enumerate((effective, permitted, inheritable)):
            data[half * 3 + position] = value >> 32 * half & 0xFFFFFFFF
    libc.capset(ctypes.byref(header), ctypes.byref(data))


@contextlib.contextmanager
def files_as(uid: int, gid: int) -> Iterator[None]:
    """Make files as another user, with the capabilities of root.  For the calling thread only.  See setfsuid(2)."""
    permitted, effective, inheritable = (of_process("thread-self", each) for each in ("CapPrm", "CapEff", "CapInh"))
    libc.setfsgid(gid)
    libc.setfsuid(uid)
    try:
        capset(effective, permitted, inheritable)  # leaving uid 0 has taken those that are about files
        yield
    finally:
        libc.setfsuid(0)
        libc.setfsgid(0)
        capset(effective, permitted, inheritable)


def raise_ambient(value: int) -> None:
    """Make the ambient set exactly this.  Each must be permitted and inheritable."""
    libc.prctl(flags.PR_CAP_AMBIENT, flags.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for number in range(value.bit_length()):
        if value >> number & 1:
            libc.prctl(flags.PR_CAP_AMBIENT, flags.PR_CAP_AMBIENT_RAISE, number, 0, 0)
