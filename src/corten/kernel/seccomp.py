"""System call filters: an assembler from rules to BPF (pure), and the one call that loads a program.

The program is a binary search over ranges of system call numbers that share an answer: seven comparisons where a
chain of ``if``s takes hundreds, on every call a container makes.  It is written backwards, from the answers to the
entry, because a conditional jump reaches only 255 instructions ahead and going backwards every distance is known.
Which calls are allowed is not decided here; read runtime/seccomp_profile.py.  See seccomp(2).
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from corten.kernel import flags
from corten.kernel.calls import Call

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54
_JUMP = 0x05
_JEQ, _JGT, _JGE = 0x15, 0x25, 0x35
_RET = 0x06
_NR, _ARCH, _ARGS = 0, 4, 16  # offsets in struct seccomp_data
_REACH = 255
_X32_BIT = 0x40000000


@dataclass(frozen=True, slots=True)
class Condition:
    """A test of one argument: ``op`` is eq, ne, lt, le, gt, ge or masked (argument & mask == value)."""

    index: int
    op: str
    value: int
    mask: int = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True, slots=True)
class Rule:
    """Answer ``action`` if every condition holds."""

    action: int
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """The rules of one architecture, tried in order for each number.

    ``known`` is the highest number anybody had heard of when the rules were written: a later call gets ``unknown``
    (ENOSYS lets a C library fall back where EPERM would make it give up).
    """

    rules: Mapping[int, Sequence[Rule]]
    known: int
    unknown: int


def errno_action(errno: int) -> int:
    """SECCOMP_RET_ERRNO with its number."""
    return flags.SECCOMP_RET_ERRNO | errno & 0xFFFF


def assemble(tables: Mapping[int, Table], default: int) -> bytes:
    """The program (an array of struct sock_filter) for tables by AUDIT_ARCH value; other architectures are killed."""
    code = _Backwards()
    entry = code.answer(flags.SECCOMP_RET_KILL_PROCESS)
    for arch, table in tables.items():
        search = _tree(code, _segments(table, default), default)
        code.emit(_LOAD, _NR)
        _follow(code, search)
        entry = code.emit(_JEQ, arch, len(code.lines) - 1, entry)
    code.emit(_LOAD, _ARCH)
    return code.program()


def _follow(code: _Backwards, target: int) -> None:
    """The load just written must be followed by ``target``; write a jump between where it is not."""
    if target != len(code.lines) - 2:
        load = code.lines.pop()
        code.emit(_JUMP, len(code.lines) - target - 1)
        code.lines.append(load)


_Leaf = int | tuple[Rule, ...]


def _segments(table: Table, default: int) -> list[tuple[int, _Leaf]]:
    """(first number, answer) of each range; neighbours with one answer are merged."""
    segments: list[tuple[int, _Leaf]] = []

    def add(start: int, leaf: _Leaf) -> None:
        if not segments or segments[-1][1] != leaf:
            segments.append((start, leaf))

    expected = 0
    for number in sorted(table.rules):
        if number > expected:
            add(expected, default)
        add(number, _leaf(table.rules[number], default))
        expected = number + 1
    if expected <= table.known:
        add(expected, default)
    add(max(expected, table.known + 1), table.unknown)
    add(_X32_BIT, default)
    return segments


def _leaf(rules: Sequence[Rule], default: int) -> _Leaf:
    kept: list[Rule] = []
    for rule in rules:
        if not rule.conditions:
            if not kept:
                return rule.action
            kept.append(rule)
            break
        kept.append(rule)
    return tuple(kept) if kept else default


def _tree(code: _Backwards, segments: list[tuple[int, _Leaf]], default: int) -> int:
    if len(segments) == 1:
        leaf = segments[0][1]
        return code.answer(leaf) if isinstance(leaf, int) else _conditional(code, leaf, default)
    middle = len(segments) // 2
    above = _tree(code, segments[middle:], default)
    below = _tree(code, segments[:middle], default)
    return code.emit(_JGE, segments[middle][0], above, below)


def _conditional(code: _Backwards, rules: tuple[Rule, ...], default: int) -> int:
    target = code.answer(default)
    for rule in reversed(rules):
        yes, otherwise = code.answer(rule.action), target
        for condition in reversed(rule.conditions):
            yes = _condition(code, condition, yes, otherwise)
        target = yes
    return target


def _condition(code: _Backwards, condition: Condition, yes: int, no: int) -> int:
    """Arguments have 64 bits and BPF 32: compare the high half, then if need be the low one."""
    op, value, mask = condition.op, condition.value, condition.mask
    if op in ("ne", "lt", "le"):
        op, yes, no = {"ne": "eq", "lt": "ge", "le": "gt"}[op], no, yes
    low_at = _ARGS + 8 * condition.index  # little endian, as all our architectures are
    if op in ("eq", "masked"):
        low = code.test(low_at, value & 0xFFFFFFFF, mask & 0xFFFFFFFF, yes, no)
        return code.test(low_at + 4, value >> 32, mask >> 32, low, no)
    code.emit(_JGE if op == "ge" else _JGT, value & 0xFFFFFFFF, yes, no)
    low = code.emit(_LOAD, low_at)
    equal = code.emit(_JEQ, value >> 32, low, no)
    code.emit(_JGT, value >> 32, yes, equal)
    return code.emit(_LOAD, low_at + 4)


class _Backwards:
    """Instructions in reverse.  A position counts from the end of the program, so it never moves."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, int, int, int]] = []
        self._answers: dict[int, int] = {}

    def emit(self, operation: int, operand: int, yes: int | None = None, no: int | None = None) -> int:
        """Write one instruction before all others; jumps go to positions.  Returns its position."""
        if yes is None or no is None:
            self.lines.append((operation, 0, 0, operand))
            return len(self.lines) - 1
        # One more line for each bridge may push the other out of reach; hence the margin of two.
        if len(self.lines) - yes > _REACH - 2:
            yes = self.emit(_JUMP, len(self.lines) - yes - 1)
        if len(self.lines) - no > _REACH - 2:
            no = self.emit(_JUMP, len(self.lines) - no - 1)
        here = len(self.lines)
        self.lines.append((operation, here - yes - 1, here - no - 1, operand))
        return here

    def test(self, offset: int, value: int, mask: int, yes: int, no: int) -> int:
        """Load a word, mask it, compare."""
        self.emit(_JEQ, value & 0xFFFFFFFF, yes, no)
        if mask != 0xFFFFFFFF:
            self.emit(_AND, mask)
        return self.emit(_LOAD, offset)

    def answer(self, action: int) -> int:
        """A return of this action that is within reach."""
        known = self._answers.get(action)
        if known is None or len(self.lines) - known > _REACH - 8:
            known = self._answers[action] = self.emit(_RET, action)
        return known

    def program(self) -> bytes:
        """The instructions in order."""
        return b"".join(struct.pack("=HBBI", *line) for line in reversed(self.lines))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))  # keeps the bytes where they are


def loading(step: str, program: bytes) -> Call:
    """To filter a process and all it becomes.  Needs CAP_SYS_ADMIN or no_new_privs.  See seccomp(2)."""
    return Call.of(step, "seccomp", flags.SECCOMP_SET_MODE_FILTER, 0, _Program(len(program) // 8, program))
