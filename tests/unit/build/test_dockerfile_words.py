"""Variable expansion: a truth table of our own, and properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.build.dockerfile.words import Style, expand
from corten.errors import Invalid

ENV = {"x": "value", "empty": "", "path": "/usr/local/lib", "file": "archive.tar.gz", "u_1": "ü", "sp": " a  b "}

# word, what it becomes (None: an error)
TABLE: list[tuple[str, str | None]] = [
    ("plain", "plain"),
    ("$x", "value"),
    ("${x}", "value"),
    ("a$x-b", "avalue-b"),
    ("$xy", ""),
    ("${x}y", "valuey"),
    (r"\$x", "$x"),
    (r"'$x'", "$x"),
    (r'"$x"', "value"),
    (r'"\$x \" \\ \n"', r"$x \" \ \n".replace(r"\"", '"')),
    ("$", "$"),
    ("$.", "$."),
    ("$u_1", "ü"),
    ("${none:-d}", "d"),
    ("${empty:-d}", "d"),
    ("${empty-d}", ""),
    ("${none-d}", "d"),
    ("${x:+alt}", "alt"),
    ("${empty:+alt}", ""),
    ("${empty+alt}", "alt"),
    ("${none+alt}", ""),
    ("${x:?no}", "value"),
    ("${none:?no}", None),
    ("${empty:?no}", None),
    ("${empty?no}", ""),
    ("${none?no}", None),
    ("${none:-${empty:-${x}}}", "value"),
    ("${none:-'q u'}", "q u"),
    ("${path#*/}", "usr/local/lib"),
    ("${path##*/}", "lib"),
    ("${path%/*}", "/usr/local"),
    ("${path%%/*}", ""),
    ("${file%.*}", "archive.tar"),
    ("${file%%.*}", "archive"),
    ("${file#?}", "rchive.tar.gz"),
    ("${file#nomatch}", "archive.tar.gz"),
    ("${file/ar/X}", "Xchive.tar.gz"),
    ("${file//ar/X}", "Xchive.tX.gz"),
    ("${file/.*/}", "archive"),
    (r"${path//\//_}", "_usr_local_lib"),
    ("${none/a/b}", ""),
    ("${x:#a}", None),
    ("${x!}", None),
    ("${x", None),
    ("${}", None),
    ("${{x}", None),
    ("'open", None),
    ('"open', None),
    ("trailing\\", "trailing"),
    ("$1$@", ""),
]


@pytest.mark.parametrize(("word", "expected"), TABLE)
def test_table(word: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(Invalid, match="failed to process"):
            expand(word, ENV)
    else:
        assert expand(word, ENV).text == expected


def test_messages() -> None:
    for word, words in {
        "${none:?tell them}": "none: tell them",
        "${none?}": "none: is not allowed to be unset",
        "${empty:?}": "empty: is not allowed to be empty",
        "${x~y}": "unsupported modifier (~) in substitution",
    }.items():
        with pytest.raises(Invalid) as caught:
            expand(word, ENV)
        assert words in caught.value.message


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("a b", ("a", "b")),
        ("a'b c'd", ("ab cd",)),
        ("$sp", ("a", "b")),
        ('"$sp"', (" a  b ",)),
        (r"a\ b", ("a b",)),
        ("", ()),
    ],
)
def test_splitting(word: str, expected: tuple[str, ...]) -> None:
    assert expand(word, ENV).words == expected


def test_the_other_escape() -> None:
    assert expand(r"C:\dir\$x`$x", ENV, escape="`").text == r"C:\dir\value$x"


def test_what_is_used_and_missing() -> None:
    result = expand("$x ${none:-$other} ${empty}", ENV)
    assert result.used == {"x", "empty"}
    assert result.missing == {"none", "other"}


def test_unset_variables_can_be_kept() -> None:
    style = Style(keep_unset=True)
    assert expand("$none ${none} ${none:-d} ${none/a/b} $x", ENV, style=style).text == (
        "$none ${none} ${none:-d} ${none/a/b} value"
    )


@given(st.text(alphabet="ab$x{}:-+?#%/'\"\\ *<", max_size=40))
def test_it_never_breaks(word: str) -> None:
    for style in (Style(), Style(raw_quotes=True, raw_escapes=True, keep_unset=True), Style(plain_quotes=True)):
        try:
            expand(word, ENV, style=style)
        except Invalid:
            continue


@given(st.text(max_size=40))
def test_single_quotes_keep_everything(text: str) -> None:
    text = text.replace("'", "")
    assert expand(f"'{text}'", ENV).text == text


def test_no_pattern_is_slow() -> None:
    env = {"long": "a" * 20000}
    assert expand("${long##*a*a*a*a*a*a*b}", env).text == env["long"]
    with pytest.raises(Invalid, match="nested too deeply"):
        expand("${n:-" * 3000 + "}" * 3000, {})
