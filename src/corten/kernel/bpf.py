"""Device programs of cgroup v2: which device nodes may be made, read, written.  See bpf(2).

Owns: the assembler for the rule list (pure), loading, attaching.  v1 has files for this instead.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from corten.kernel import flags, libc

_ACCESS = {"m": 1, "r": 2, "w": 4}
_TYPES = {"b": 1, "c": 2}


@dataclass(frozen=True, slots=True)
class DeviceRule:
    """Allow or deny; ``kind`` is a, b or c; a missing number is any."""

    allow: bool
    kind: str = "a"
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"


def _instruction(code: int, registers: int, offset: int, immediate: int) -> bytes:
    return struct.pack("<BBhi", code, registers, offset, immediate)


def assemble(rules: Sequence[DeviceRule]) -> bytes:
    """The program for a list in which later rules win; nothing matching is denied.

    r1 points at struct bpf_cgroup_dev_ctx { u32 access_type; u32 major; u32 minor; }, access_type being the access in
    its high half and the type in its low one.
    """
    program = [
        _instruction(0x61, 0x12, 0, 0),  # r2 = access_type
        _instruction(0xBC, 0x23, 0, 0),  # w3 = w2
        _instruction(0x54, 0x02, 0, 0xFFFF),  # w2 &= 0xffff: the type
        _instruction(0x74, 0x03, 0, 16),  # w3 >>= 16: the access
        _instruction(0x61, 0x14, 4, 0),  # r4 = major
        _instruction(0x61, 0x15, 8, 0),  # r5 = minor
    ]
    for rule in reversed(rules):
        program += _block(rule)
    program += _verdict(False)
    return b"".join(program)


def _verdict(allow: bool) -> list[bytes]:
    return [_instruction(0xB4, 0x00, 0, int(allow)), _instruction(0x95, 0, 0, 0)]


def _block(rule: DeviceRule) -> list[bytes]:
    """Tests that jump over the verdict when they fail."""
    tests: list[list[bytes]] = []
    access = sum(_ACCESS[letter] for letter in set(rule.access))
    if rule.kind != "a":
        tests.append([_instruction(0x56, 0x02, 0, _TYPES[rule.kind])])  # if w2 != type
    if access != 7:
        # Every wanted access must be among the rule's: (access & ~rule) == 0.
        tests.append([_instruction(0xBC, 0x31, 0, 0), _instruction(0x54, 0x01, 0, ~access), b""])
        tests[-1][2] = _instruction(0x56, 0x01, 0, 0)  # if w1 != 0
    for register, number in ((4, rule.major), (5, rule.minor)):
        if number is not None and rule.kind != "a":
            tests.append([_instruction(0x56, register, 0, number)])
    lines = [line for test in tests for line in test]
    total = len(lines) + 2
    patched = []
    for position, line in enumerate(lines):
        code, registers, _, immediate = struct.unpack("<BBhi", line)
        offset = total - position - 1 if code == 0x56 else 0
        patched.append(_instruction(code, registers, offset, immediate))
    return patched + _verdict(rule.allow)


def _call(command: int, attributes: bytes) -> int:
    text = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    return int(libc.bpf(command, ctypes.byref(text), 128))


def load(program: bytes) -> int:
    """A descriptor of the loaded program."""
    code = ctypes.create_string_buffer(program, len(program))
    name = ctypes.create_string_buffer(b"Apache-2.0")
    return _call(
        flags.BPF_PROG_LOAD,
        struct.pack(
            "=IIQQIIQII",
            flags.BPF_PROG_TYPE_CGROUP_DEVICE,
            len(program) // 8,
            ctypes.addressof(code),
            ctypes.addressof(name),
            0,  # log_level
            0,  # log_size
            0,  # log_buf
            0,  # kern_version
            0,  # prog_flags
        ),
    )


def attach(cgroup_fd: int, program_fd: int) -> None:
    """Put a device program beside those that are there; all must agree."""
    _call(
        flags.BPF_PROG_ATTACH,
        struct.pack("=IIII", cgroup_fd, program_fd, flags.BPF_CGROUP_DEVICE, flags.BPF_F_ALLOW_MULTI),
    )


def detach(cgroup_fd: int, program_fd: int) -> None:
    """Take one of them away."""
    _call(flags.BPF_PROG_DETACH, struct.pack("=IIII", cgroup_fd, program_fd, flags.BPF_CGROUP_DEVICE, 0))


def confine_devices(cgroup_path: str, rules: Sequence[DeviceRule]) -> int:
    """Load and attach in one go.  The program lives as long as the group; the descriptor serves a later detach."""
    cgroup_fd = os.open(cgroup_path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        program_fd = load(assemble(rules))
        attach(cgroup_fd, program_fd)
    finally:
        os.close(cgroup_fd)
    return program_fd
