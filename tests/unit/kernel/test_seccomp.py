"""The filter assembler, checked by a small interpreter of BPF: programs must answer as their rules say."""

from __future__ import annotations

import errno
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corten.kernel import flags, seccomp, syscalls
from corten.kernel.seccomp import Condition, Rule, Table
from corten.runtime import seccomp_profile
from corten.runtime.rehearsal import DEFAULT_CAPABILITIES

ALLOW = flags.SECCOMP_RET_ALLOW
EPERM = seccomp.errno_action(errno.EPERM)
ENOSYS = seccomp.errno_action(errno.ENOSYS)
PROFILE = Path("/work/shared/specs/seccomp-default.json")


def interpret(program: bytes, arch: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    """What the kernel would answer; fails on a jump out of the program."""
    data = struct.pack("<IIQ6Q", number, arch, 0, *(arguments + (0,) * 6)[:6])
    code = [struct.unpack_from("=HBBI", program, offset) for offset in range(0, len(program), 8)]
    at = accumulator = 0
    while True:
        operation, yes, no, operand = code[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif operation == 0x54:
            accumulator &= operand
        elif operation == 0x05:
            at += operand
        elif operation == 0x06:
            return operand
        else:
            holds = {0x15: accumulator == operand, 0x25: accumulator > operand, 0x35: accumulator >= operand}[operation]
            at += yes if holds else no


def expected(table: Table, number: int, arguments: tuple[int, ...], default: int) -> int:
    if number > table.known and number < 0x40000000:
        return table.unknown
    compare = {
        "eq": lambda a, c: a == c.value,
        "ne": lambda a, c: a != c.value,
        "lt": lambda a, c: a < c.value,
        "le": lambda a, c: a <= c.value,
        "gt": lambda a, c: a > c.value,
        "ge": lambda a, c: a >= c.value,
        "masked": lambda a, c: a & c.mask == c.value,
    }
    for rule in table.rules.get(number, ()):
        if all(compare[each.op](arguments[each.index], each) for each in rule.conditions):
            return rule.action
    return default


words = st.one_of(st.integers(0, 4), st.integers(2**32 - 2, 2**32 + 2), st.integers(0, 2**64 - 1))


@st.composite
def conditions(draw: Any) -> Condition:
    op = draw(st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge", "masked"]))
    mask = draw(words)
    value = draw(words)
    return Condition(draw(st.integers(0, 5)), op, value & mask if op == "masked" else value, mask)


rules = st.builds(
    Rule, st.sampled_from([ALLOW, ENOSYS, flags.SECCOMP_RET_LOG]), st.lists(conditions(), max_size=3).map(tuple)
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.integers(0, 500), st.lists(rules, min_size=1, max_size=4), max_size=60),
    st.lists(st.tuples(st.integers(0, 510), st.tuples(*[words] * 6)), max_size=40),
)
def test_programs_answer_as_their_rules(
    listed: dict[int, list[Rule]], calls: list[tuple[int, tuple[int, ...]]]
) -> None:
    table = Table(listed, 500, ENOSYS)
    other = Table({1: [Rule(ALLOW)]}, 500, ENOSYS)
    program = seccomp.assemble({flags.AUDIT_ARCH_X86_64: table, flags.AUDIT_ARCH_I386: other}, EPERM)
    for number, arguments in calls + [(each, (0,) * 6) for each in listed]:
        answer = interpret(program, flags.AUDIT_ARCH_X86_64, number, arguments)
        assert answer == expected(table, number, arguments, EPERM)
    assert interpret(program, flags.AUDIT_ARCH_I386, 1) == ALLOW
    assert interpret(program, flags.AUDIT_ARCH_I386, 2) == EPERM
    assert interpret(program, 0x1234, 1) == flags.SECCOMP_RET_KILL_PROCESS


def test_conditions_in_many_calls_stay_within_reach() -> None:
    listed = {n: [Rule(ALLOW, (Condition(i, "gt", n * 2**33 + i),)) for i in range(6)] for n in range(0, 400, 2)}
    table = Table(listed, 400, ENOSYS)
    program = seccomp.assemble({flags.AUDIT_ARCH_X86_64: table}, EPERM)
    for number in range(401):
        for arguments in ((0,) * 6, (2**63,) * 6):
            answer = interpret(program, flags.AUDIT_ARCH_X86_64, number, arguments)
            assert answer == expected(table, number, arguments, EPERM)


def x86(name: str) -> int:
    return syscalls.numbers(flags.AUDIT_ARCH_X86_64)[name]


def test_the_default_profile() -> None:
    program = seccomp_profile.default_program(frozenset(DEFAULT_CAPABILITIES), "x86_64")
    arch = flags.AUDIT_ARCH_X86_64

    def ask(name: str, *arguments: int) -> int:
        return interpret(program, arch, x86(name), arguments)

    assert ask("read") == ask("openat2") == ask("chroot") == ALLOW  # SYS_CHROOT is among the default capabilities
    for name in ("mount", "unshare", "setns", "keyctl", "add_key", "bpf", "init_module", "reboot", "pivot_root"):
        assert ask(name) == EPERM, name
    assert ask("clone", 0x01200011) == ALLOW
    assert ask("clone", 0x10000000) == EPERM
    assert ask("clone3") == ENOSYS
    assert ask("socket", 1) == ask("socket", 39) == ALLOW
    assert ask("socket", 38) == ask("socket", 40) == EPERM
    assert ask("personality", 0xFFFFFFFF) == ALLOW
    assert ask("personality", 0x0040000) == EPERM
    assert interpret(program, arch, 999) == ENOSYS
    assert interpret(program, arch, 0x40000000) == EPERM, "the x32 interface is closed"
    privileged = seccomp_profile.default_program(frozenset({"CAP_SYS_ADMIN"}), "x86_64")
    assert interpret(privileged, arch, x86("mount")) == ALLOW
    assert interpret(privileged, arch, x86("clone"), (0x10000000,)) == ALLOW
    assert len(program) // 8 < 450


@pytest.mark.skipif(not PROFILE.exists(), reason="the reference profile is not on this machine")
@pytest.mark.parametrize("capabilities", [(), DEFAULT_CAPABILITIES, ("CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_BPF")])
@pytest.mark.parametrize(("machine", "arch"), [
    ("x86_64", flags.AUDIT_ARCH_X86_64), ("x86_64", flags.AUDIT_ARCH_I386), ("aarch64", flags.AUDIT_ARCH_AARCH64)
])  # fmt: skip
def test_the_default_is_dockers(capabilities: tuple[str, ...], machine: str, arch: int) -> None:
    held = frozenset(capabilities)
    ours = seccomp_profile.default_program(held, machine)
    theirs = seccomp_profile.program(json.loads(PROFILE.read_text()), held, machine)
    samples = [(value,) * 6 for value in (0, 1, 8, 37, 38, 39, 40, 41, 0x20000, 0x20008, 0x10000000, 0xFFFFFFFF)]
    names = {number: name for name, number in syscalls.numbers(arch).items()}
    for number, name in names.items():
        for arguments in samples:
            answers = [interpret(each, arch, number, arguments) for each in (ours, theirs)]
            assert answers[0] == answers[1], (name, arguments)


def test_alternatives_and_errors_of_custom_profiles() -> None:
    profile: dict[str, Any] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 97, "args": [
                {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 10, "op": "SCMP_CMP_EQ"}]},
            {"name": "chmod", "action": "SCMP_ACT_KILL_PROCESS"},
        ],
    }  # fmt: skip
    program = seccomp_profile.program(profile, (), "x86_64")
    arch = flags.AUDIT_ARCH_X86_64
    assert interpret(program, arch, x86("socket"), (10,)) == seccomp.errno_action(97)
    assert interpret(program, arch, x86("socket"), (1,)) == ALLOW
    assert interpret(program, arch, x86("chmod")) == flags.SECCOMP_RET_KILL_PROCESS
    with pytest.raises(Exception, match="seccomp profile"):
        seccomp_profile.program({"defaultAction": "SCMP_ACT_NONSENSE"}, (), "x86_64")
