"""?filters= in both of Docker's shapes, and the ways of comparing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.api.filters import Filters
from corten.errors import Invalid


@pytest.mark.parametrize("text", ['{"status": ["running", "paused"]}', '{"status": {"running": true, "paused": true}}'])
def test_both_shapes(text: str) -> None:
    assert set(Filters.parse(text).get("status")) == {"running", "paused"}


@pytest.mark.parametrize(
    "text", ["[", "[]", '{"a": 1}', '{"a": [1]}', '"x"', "[" * 100_000, r'{"a": ["\ud800"]}', r'{"\udfff": []}']
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        Filters.parse(text)


@pytest.mark.parametrize("text", [None, "", "{}", "null"])
def test_nothing_keeps_everything(text: str | None) -> None:
    filters = Filters.parse(text)
    assert not filters
    assert filters.exact("status", "x") and filters.labels({}) and filters.flag("dangling", True)


def test_unknown_names() -> None:
    with pytest.raises(Invalid, match="invalid filter 'nope'"):
        Filters.parse('{"nope": ["1"]}').only({"status"})


def test_labels_are_all_wanted_and_none_refused() -> None:
    filters = Filters.parse('{"label": ["a", "b=1"], "label!": ["c"]}')
    assert filters.labels({"a": "x", "b": "1"})
    assert not filters.labels({"a": "x", "b": "2"})
    assert not filters.labels({"a": "x", "b": "1", "c": ""})


def test_flags() -> None:
    assert Filters.parse('{"dangling": ["true"]}').flag("dangling", False)
    assert not Filters.parse('{"dangling": {"0": true}}').flag("dangling", True)
    with pytest.raises(Invalid, match=r"invalid filter 'dangling=\[maybe\]'"):
        Filters.parse('{"dangling": ["maybe"]}').flag("dangling", False)


@given(st.dictionaries(st.text(min_size=1), st.lists(st.text(), min_size=1, unique=True), min_size=1))
def test_printing_and_parsing(fields: dict[str, list[str]]) -> None:
    parsed = Filters.parse(json.dumps(fields))
    assert Filters.parse(parsed.to_json()) == parsed
