"""Sizes, durations, decimals, moments: what is read and what is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.cli import times, values
from corten.errors import Invalid


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1", 1), ("1b", 1), ("64m", 64 << 20), ("1.5GiB", 3 << 29), ("2KB", 2048), ("1 k", 1024), ("-1", -1)],
)
def test_sizes(text: str, size: int) -> None:
    assert values.parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "m", "1x", "1mm", "1ib", "-2", "1,5m", "0x10", "1e3", "1kmb"])
def test_bad_sizes(text: str) -> None:
    with pytest.raises(Invalid):
        values.parse_bytes(text)


@given(st.text(max_size=12))
def test_anything_is_a_value_or_refused(text: str) -> None:
    for parse in (values.parse_bytes, values.parse_duration, values.parse_cpus, values.parse_int, times.parameter):
        with contextlib.suppress(Invalid):
            parse(text)


def test_cpus() -> None:
    assert values.parse_cpus("1.5") == 1_500_000_000 and values.parse_cpus("1/4") == 250_000_000
    for text in ("x", "1.0000000001", "-1", "1/0"):
        with pytest.raises(Invalid):
            values.parse_cpus(text)


def test_moments() -> None:
    assert times.parameter("10m", now=1000.0) == "400.000000000"
    assert times.parameter("1700000000.5") == "1700000000.5" and times.parameter("") == ""
    assert times.parameter("2013-01-02T13:23:37Z") == "1357133017.000000000"
    with pytest.raises(Invalid, match="failed to parse value"):
        times.parameter("yesterday")


def test_filters() -> None:
    assert values.filters(["status=running", "status=exited", "label=a=b"]) == {
        "status": {"running": True, "exited": True},
        "label": {"a=b": True},
    }
