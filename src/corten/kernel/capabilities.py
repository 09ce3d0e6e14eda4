"""Capabilities: names to bits, and the sets of a process.  See capabilities(7).

Owns: the calls that set them: capset(2), the bounding and the ambient set.  Which set a container gets is its spec's
affair.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterable, Iterator

from corten.kernel import files, flags, libc
from corten.kernel.calls import Call, perform

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


def limiting_bounding(step: str, keep: int, present: int) -> list[Call]:
    """To drop every capability of ``present`` (the current bounding set) that is not in ``keep``."""
    dropped = (number for number in range(present.bit_length()) if (present & ~keep) >> number & 1)
    return [Call.of(step, "prctl", flags.PR_CAPBSET_DROP, number) for number in dropped]


def setting(step: str, effective: int, permitted: int, inheritable: int) -> Call:
    """To set a process's three sets.  See capset(2)."""
    halves = (value >> shift & 0xFFFFFFFF for shift in (0, 32) for value in (effective, permitted, inheritable))
    return Call.of(step, "capset", struct.pack("=Ii", _VERSION_3, 0), struct.pack("=6I", *halves))


def raising_ambient(step: str, value: int) -> list[Call]:
    """To make the ambient set exactly this.  Each must be permitted and inheritable."""
    raised = (number for number in range(value.bit_length()) if value >> number & 1)
    return [
        Call.of(step, "prctl", flags.PR_CAP_AMBIENT, flags.PR_CAP_AMBIENT_CLEAR_ALL),
        *(Call.of(step, "prctl", flags.PR_CAP_AMBIENT, flags.PR_CAP_AMBIENT_RAISE, number) for number in raised),
    ]


@contextlib.contextmanager
def files_as(uid: int, gid: int) -> Iterator[None]:
    """Make files as another user, with the capabilities of root.  For the calling thread only.  See setfsuid(2)."""
    permitted, effective, inheritable = (of_process("thread-self", each) for each in ("CapPrm", "CapEff", "CapInh"))
    sets = setting("keep capabilities", effective, permitted, inheritable)
    libc.setfsgid(gid)
    libc.setfsuid(uid)
    try:
        perform([sets])  # leaving uid 0 has taken those that are about files
        yield
    finally:
        libc.setfsuid(0)
        libc.setfsgid(0)
        perform([sets])
