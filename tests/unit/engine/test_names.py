"""Names, ids and detach keys."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.engine import detach, names
from corten.errors import Invalid


def test_ids_are_no_numbers() -> None:
    for _ in range(50):
        made = names.new_id()
        assert re.fullmatch(r"[0-9a-f]{64}", made)
        assert not made[:12].isdigit()


def test_random_names_avoid_those_taken() -> None:
    taken: set[str] = set()
    for _ in range(200):
        name = names.random_name(taken.__contains__)
        assert name not in taken
        assert names.check_name(name) == name
        taken.add(name)


@pytest.mark.parametrize("name", ["a", "-ab", "a b", "a/b", "", "ä1"])
def test_illegal_names(name: str) -> None:
    with pytest.raises(Invalid, match="Invalid container name"):
        names.check_name(name)


def test_prefixes() -> None:
    ids = ["abc1", "abd2"]
    assert names.by_prefix("abc", ids) == ["abc1"]
    assert names.by_prefix("ab", ids) == ids
    assert names.by_prefix("xyz", ids) == []


def test_detach_keys() -> None:
    assert detach.parse("") == detach.DEFAULT_KEYS
    assert detach.parse("ctrl-a,x,ctrl-]") == bytes([1, ord("x"), 29])
    with pytest.raises(Invalid):
        detach.parse("ctrl-,a")
    with pytest.raises(Invalid):
        detach.parse("shift-a")


def test_keys_are_found_across_pieces() -> None:
    scanner = detach.Scanner(detach.DEFAULT_KEYS)
    assert scanner.feed(b"ls\x10") == (b"ls", False)
    assert scanner.feed(b"\x11rest") == (b"", True)


def test_half_a_sequence_is_typed_after_all() -> None:
    scanner = detach.Scanner(detach.DEFAULT_KEYS)
    assert scanner.feed(b"a\x10b") == (b"a\x10b", False)
    assert scanner.feed(b"\x10\x10") == (b"\x10", False)
    assert scanner.feed(b"\x11") == (b"", True)


@given(st.binary(), st.integers(1, 5))
def test_without_the_keys_every_byte_passes(data: bytes, step: int) -> None:
    clean = data.replace(b"\x10", b"") + b"."
    scanner = detach.Scanner(detach.DEFAULT_KEYS)
    passed = b"".join(scanner.feed(clean[start : start + step])[0] for start in range(0, len(clean), step))
    assert passed == clean
