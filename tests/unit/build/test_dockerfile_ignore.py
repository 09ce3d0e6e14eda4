"""What ignore files leave out, and Go's filepath.Match."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.build.dockerfile import go
from corten.build.dockerfile.ignore import Matcher, left_out, read
from corten.errors import Invalid

TABLE = [
    # patterns, path, is it left out
    (["a"], "a", True),
    (["a"], "b/a", False),
    (["a"], "a/b/c", True),
    (["/a"], "a", True),
    (["*.md"], "x.md", True),
    (["*.md"], "d/x.md", False),
    (["**/*.md"], "d/e/x.md", True),
    (["**/*.md"], "x.md", True),
    (["d/**"], "d", False),
    (["d/**"], "d/e", True),
    (["**"], "anything/at/all", True),
    (["**ed"], "moved", True),
    (["**d*"], "bad", False),
    (["a?c"], "abc", True),
    (["a?c"], "a/c", False),
    (["[a-c]x"], "bx", True),
    (["[^a-c]x"], "dx", True),
    ([r"\*"], "*", True),
    ([r"\*"], "a", False),
    (["a+b.c"], "aab_c", False),
    (["*", "!keep"], "keep", False),
    (["*", "!keep"], "other", True),
    (["*", "!d/keep"], "d/keep", False),
    (["*", "!d/keep"], "d/other", True),
    (["!keep", "*"], "keep", True),
    (["*", "!d", "d/x"], "d/x", True),
    (["d", "!d/e", "d/e/f"], "d/e/f", True),
    (["d", "!d/e", "d/e/f"], "d/e/g", False),
    (["#not", "x"], "x", True),
    (["a//b/../c/"], "a/c", True),
]


@pytest.mark.parametrize(("lines", "path", "expected"), TABLE)
def test_table(lines: list[str], path: str, expected: bool) -> None:
    assert left_out(path, read("\n".join(lines))) is expected


def test_the_context_itself_is_never_left_out() -> None:
    assert not left_out(".", ["**"])


def test_reading() -> None:
    text = "\ufeff# comment\n  a/ \n\n!  /b\n/c/./d\n #no comment\n/\n"
    assert read(text) == ["a", "!b", "c/d", "#no comment", "/"]


@pytest.mark.parametrize("pattern", ["[", "[]a]", "[-]", "a[", "\\", "!", "[z-a]/**"])
def test_bad_patterns(pattern: str) -> None:
    if pattern == "[z-a]/**":
        with pytest.raises(Invalid):
            Matcher(["[z-a]x"])
        return
    with pytest.raises(Invalid):
        Matcher([pattern])


@given(
    st.lists(st.text(alphabet="ab*?[]^-!/.\\", min_size=1, max_size=8), max_size=4), st.text(alphabet="ab/", max_size=8)
)
def test_nothing_but_invalid_and_a_walk_agrees(patterns: list[str], path: str) -> None:
    try:
        matcher = Matcher(patterns)
    except Invalid:
        return
    matched = matcher.matches(path)
    hits = [
        any(pattern.matches("/".join(path.split("/")[:depth])) for depth in range(1, path.count("/") + 2))
        for pattern in matcher.patterns
    ]
    expected = False
    for pattern, hit in zip(matcher.patterns, hits, strict=True):
        if hit:
            expected = not pattern.is_exception
    assert matched is expected


def test_a_directory_that_may_hold_an_exception_is_walked() -> None:
    matcher = Matcher(["*", "!a/b/keep", "!**/x.py"])
    assert matcher.may_bring_back_below("a")
    assert matcher.may_bring_back_below("anything")
    matcher = Matcher(["*", "!a/b/keep"])
    assert matcher.may_bring_back_below("a/b")
    assert not matcher.may_bring_back_below("c")


def test_filepath_match() -> None:
    assert go.match("a*/b", "abc/b")
    assert not go.match("a*/b", "a/c/b")
    assert go.match("a[^b]c", "a/c")
    assert not go.match("*" * 30 + "b", "a" * 200)
    with pytest.raises(Invalid):
        go.match("[a", "a")


@pytest.mark.parametrize(
    ("text", "nanoseconds"), [("5s", 5e9), ("1h2m3s", 3723e9), ("1.5s", 1.5e9), ("-1ms", -1e6), ("0", 0), (".5m", 30e9)]
)
def test_durations(text: str, nanoseconds: float) -> None:
    assert go.parse_duration(text) == int(nanoseconds)


@pytest.mark.parametrize("text", ["", "5", "s", "1x", "1s2", "99999999999999h", "."])
def test_bad_durations(text: str) -> None:
    with pytest.raises(Invalid):
        go.parse_duration(text)


@pytest.mark.parametrize(
    ("pattern", "path", "is_left_out"),
    [
        ("*a*a*a*a*a*a*a*a*b", "a" * 200, False),
        ("*a*a*a*a*a*a*a*a*b", "a" * 200 + "b", True),
        ("**/a/**/a/**/a/**/a/**/b", "a/" * 100 + "a", False),
        ("**/a/**/a/**/a/**/a/**/b", "a/" * 100 + "b", True),
        ("a?*[x-z]*.b*c", "abcy.bc", True),
        ("a?*[x-z]*.b*c", "abcw.bc", False),
    ],
)
def test_no_pattern_is_slow(pattern: str, path: str, is_left_out: bool) -> None:
    assert left_out(path, [pattern]) is is_left_out
