"""Lists of system calls: made here one by one, or by a new process that does nothing else.

``Launch`` is for what ends in execve.  A fork of an interpreter copies its page tables, and then one page for nearly
everything that either side touches: milliseconds, for a memory that execve throws away.  So the process is made as
vfork(2) does: it shares our memory, we stand still until it executes, and in between it runs not Python, which would
write to what is ours, but a loop of a dozen instructions that reads the calls from an array.  Everything that has to be
thought about is thought before.  See clone(2), syscall(2).
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from corten.kernel import flags, libc, syscalls

Argument = int | bytes | ctypes.Structure | Sequence[bytes]

_ARCHITECTURES = {"x86_64": flags.AUDIT_ARCH_X86_64, "aarch64": flags.AUDIT_ARCH_AARCH64}
_MACHINE = os.uname().machine
_ARGUMENTS = 6
_STACK = 16384

# int loop(array): array[0] and [1] are for the failure; from [2] on seven words for each call, its number and its
# arguments.  A result from -4095 to -1 is an error: note where we are and what it is, and exit_group(1).
_LOOPS = {
    "x86_64": (
        "4889fb"  # mov rbx, rdi
        "488d6f10"  # lea rbp, [rdi+16]
        "488b4500"  # next: mov rax, [rbp]
        "488b7d08 488b7510 488b5518"  # mov rdi, rsi, rdx
        "4c8b5520 4c8b4528 4c8b4d30"  # mov r10, r8, r9
        "0f05"  # syscall
        "483d01f0ffff 7306"  # cmp rax, -4095; jae failed
        "4883c538 ebd4"  # add rbp, 56; jmp next
        "48892b 48894308"  # failed: mov [rbx], rbp; mov [rbx+8], rax
        "b8e7000000 bf01000000 0f05"  # exit_group(1)
    ),
    "aarch64": (
        "f30300aa"  # mov x19, x0
        "14400091"  # add x20, x0, #16
        "880240f9"  # next: ldr x8, [x20]
        "808640a9 828e41a9 849642a9"  # ldp x0, x1 … x4, x5
        "010000d4"  # svc #0
        "1ffc3fb1 62000054"  # cmn x0, #4095; b.cs failed
        "94e20091 f8ffff17"  # add x20, x20, #56; b next
        "740200f9 600600f9"  # failed: str x20, [x19]; str x0, [x19, #8]
        "200080d2 c80b80d2 010000d4"  # exit_group(1)
    ),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One system call.  ``step`` says in an error what it was for.

    Bytes and structures are passed by address, bytes closed with a zero; a sequence of them is an array as execve
    wants it.
    """

    step: str
    name: str
    arguments: tuple[Argument, ...]

    @classmethod
    def of(cls, step: str, name: str, *arguments: Argument) -> Call:
        """The same with less to write."""
        return cls(step, name, arguments)


class CallFailed(OSError):
    """A call of a list was refused."""

    def __init__(self, call: Call, errno: int) -> None:
        super().__init__(errno, f"{call.name}: {os.strerror(errno)}")
        self.call = call


def perform(calls: Sequence[Call]) -> None:
    """Make the calls, here and now; raises CallFailed."""
    kept: list[object] = []
    for call in calls:
        try:
            libc.syscall(_numbers()[call.name], *(_word(each, kept) for each in _padded(call)))
        except OSError as failure:
            raise CallFailed(call, failure.errno or 0) from None


class Launch:
    """A new process that makes calls, the last of which is execve: everything up to the word to go."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self._calls = calls
        self._kept: list[object] = []  # what the array points to
        words = [0, 0]
        for call in calls:
            words.append(_numbers()[call.name])
            words += (_word(each, self._kept) for each in _padded(call))
        self._array = (ctypes.c_uint64 * len(words))(*words)
        self._stack = ctypes.create_string_buffer(_STACK)
        self._loop = _loop()

    def go(self, *, for_parent: bool = False) -> tuple[int, int]:
        """Its pid and pidfd, once it has executed; raises CallFailed.  Only once, and for processes with one thread.

        With ``for_parent`` it is our sibling, and whoever is our parent collects what is left of one that failed.
        """
        array, pidfd = self._array, ctypes.c_int(-1)
        top = (ctypes.addressof(self._stack) + _STACK) & ~15
        # The legacy call takes the exit signal in its flags; a sibling has ours.
        kind = flags.CLONE_PARENT if for_parent else signal.SIGCHLD
        clone_flags = flags.CLONE_VM | flags.CLONE_VFORK | flags.CLONE_PIDFD | kind
        pid = libc.clone(self._loop, top, clone_flags, ctypes.addressof(array), ctypes.addressof(pidfd), None, None)
        if array[0]:
            os.close(pidfd.value)
            if not for_parent:
                os.waitpid(pid, 0)
            row = (array[0] - ctypes.addressof(array) - 16) // 8 // (1 + _ARGUMENTS)
            raise CallFailed(self._calls[row], 2**64 - array[1])
        return pid, pidfd.value


def _padded(call: Call) -> tuple[Argument, ...]:
    return call.arguments + (0,) * (_ARGUMENTS - len(call.arguments))


def _word(value: Argument, kept: list[object]) -> int:
    """The value as a register holds it; what it points to is appended to ``kept``, to stay where it is."""
    if isinstance(value, int):
        return value & (2**64 - 1)
    if isinstance(value, bytes):
        text = ctypes.create_string_buffer(value, len(value) + 1)
        kept.append(text)
        return ctypes.addressof(text)
    if isinstance(value, ctypes.Structure):
        kept.append(value)
        return ctypes.addressof(value)
    array = (ctypes.c_uint64 * (len(value) + 1))(*(_word(each, kept) for each in value), 0)
    kept.append(array)
    return ctypes.addressof(array)


@cache
def _numbers() -> dict[str, int]:
    return dict(syscalls.numbers(_ARCHITECTURES[_MACHINE]))


@cache
def _loop() -> int:
    """Where the loop is: a page that may be executed and no longer written."""
    text = bytes.fromhex(_LOOPS[_MACHINE])
    address = libc.mmap(
        None, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0
    )
    ctypes.memmove(address, text, len(text))
    libc.mprotect(address, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC)
    return int(address)
