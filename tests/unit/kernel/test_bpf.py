"""The device program, checked by a small interpreter."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from corten.kernel.bpf import DeviceRule, assemble

BITS = {"m": 1, "r": 2, "w": 4}


def interpret(program: bytes, kind: str, major: int, minor: int, access: str) -> int:
    context = struct.pack("<III", sum(BITS[each] for each in access) << 16 | {"b": 1, "c": 2}[kind], major, minor)
    registers = [0] * 11
    at = 0
    while True:
        code, fields, offset, immediate = struct.unpack_from("<BBhi", program, at * 8)
        target, source = fields & 15, fields >> 4
        at += 1
        if code == 0x61:
            (registers[target],) = struct.unpack_from("<I", context, offset)
        elif code == 0xBC:
            registers[target] = registers[source]
        elif code == 0x54:
            registers[target] &= immediate & 0xFFFFFFFF
        elif code == 0x74:
            registers[target] >>= immediate
        elif code == 0xB4:
            registers[target] = immediate
        elif code == 0x56:
            at += offset if registers[target] != immediate & 0xFFFFFFFF else 0
        elif code == 0x95:
            return registers[0]
        else:
            raise AssertionError(hex(code))


accesses = st.sets(st.sampled_from("rwm"), min_size=1).map(lambda letters: "".join(sorted(letters)))
numbers = st.one_of(st.none(), st.integers(0, 3))
rules = st.builds(DeviceRule, st.booleans(), st.sampled_from("abc"), numbers, numbers, accesses)


@settings(max_examples=200, deadline=None)
@given(st.lists(rules, max_size=6), st.sampled_from("bc"), st.integers(0, 3), st.integers(0, 3), accesses)
def test_the_last_rule_that_fits_decides(
    listed: list[DeviceRule], kind: str, major: int, minor: int, access: str
) -> None:
    verdict = False
    for rule in listed:
        fits_numbers = rule.kind == "a" or (
            rule.kind == kind and rule.major in (None, major) and rule.minor in (None, minor)
        )
        if fits_numbers and set(access) <= set(rule.access):
            verdict = rule.allow
    assert interpret(assemble(listed), kind, major, minor, access) == int(verdict)
