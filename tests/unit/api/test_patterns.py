"""Go's expressions: found as Python's are where both say the same, and never slowly."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.api import patterns
from corten.api.filters import Filters
from corten.errors import Invalid

_ATOMS = st.sampled_from(
    [
        "a",
        "b",
        "-",
        ".",
        "^",
        "$",
        r"\d",
        r"\w",
        r"\S",
        r"\b",
        r"\B",
        r"\.",
        r"\x61",
        "[ab]",
        "[^a]",
        "[a-]",
        r"[\d_]",
        "",
    ]
)
_EXPRESSIONS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,}", "{0,2}", "*?"])).map(
            lambda both: f"(?:{both[0]}){both[1]}"
        ),
    ),
    max_leaves=6,
)


@given(_EXPRESSIONS, st.text("ab1-_ .", min_size=1, max_size=8), st.sampled_from(["", "(?i)", "(?s)"]))
def test_found_as_by_python(expression: str, text: str, flags: str) -> None:
    theirs = re.search((flags + expression).replace("$", r"\Z"), text, re.ASCII)
    assert patterns.found(flags + expression, text) == (theirs is not None)


@pytest.mark.parametrize(
    ("expression", "text", "is_found"),
    [
        (r"\Aa.c\z", "abc", True),
        ("a.c", "a\nc", False),
        ("(?s)a.c", "a\nc", True),
        ("(?m)^b$", "a\nb\nc", True),
        ("^b$", "a\nb\nc", False),
        ("a$", "a\n", False),
        ("(?i)STRASSE", "strasse", True),
        ("(?i:A)b", "ab", True),
        ("(?i:A)b", "aB", False),
        ("x(?i)a|B", "b", True),
        ("(?P<name>a)(?<other>b)", "ab", True),
        (r"\Qa.b*\Ec", "a.b*c", True),
        (r"\pL+\p{Nd}", "é5", True),
        (r"^\P{L}$", "é", False),
        ("[[:alpha:]][[:^digit:]]", "ab", True),
        ("[]a]b", "]b", True),
        ("[a-]", "-", True),
        (r"[\]\-]", "-", True),
        (r"\101\x{62}", "Ab", True),
        ("a{,2}", "a{,2}", True),
        ("a{", "a{", True),
        ("", "anything", True),
        ("a||b", "", True),
    ],
)
def test_the_syntax(expression: str, text: str, is_found: bool) -> None:
    assert patterns.found(expression, text) is is_found


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("[a", "missing closing ]: `[a`"),
        ("(a", "missing closing ): `(a`"),
        ("a)", "unexpected ): `a)`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("a**", "invalid nested repetition operator: `a**`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ("[b-a]", "invalid character class range: `b-a`"),
        (r"\y", r"invalid escape sequence: `\y`"),
        (r"\1", r"invalid escape sequence: `\1`"),
        ("a\\", "trailing backslash at end of expression: ``"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        (r"\p{Greek}", r"invalid character class range: `\p{Greek}`"),
        ("(" * 5000 + ")" * 5000, "expression nests too deeply"),
        ("((a{1000}){1000}){1000}", "expression too large"),
        ("((){1000}){1000}", "expression too large"),
    ],
)
def test_what_is_none(expression: str, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        patterns.found(expression, "a")
    assert refused.value.message == f"error parsing regexp: {words}"


@pytest.mark.parametrize("expression", ["^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "^(.*a){20}$", "^(a*)*c"])
def test_no_expression_is_slow(expression: str) -> None:
    """Each of these would take Python's ``re`` longer than anyone lives."""
    assert not patterns.found(expression, "a" * 200 + "b")


def test_a_filters_bad_expression_finds_only_itself() -> None:
    filters = Filters.parse('{"name": ["[a"]}')
    assert patterns.fits(filters, "name", "[a") and not patterns.fits(filters, "name", "a")
    assert not patterns.fits(Filters.parse(json.dumps({"name": ["(" * 5000]})), "name", "a")
    assert patterns.fits(Filters.parse('{"name": ["^web", "x"]}'), "name", "web1")
    assert patterns.fits(filters, "id", "whatever")
