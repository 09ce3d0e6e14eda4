"""Moments of the API."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.api import times
from corten.errors import Invalid


def test_durations_of_go() -> None:
    assert times.duration("1h30m") == 5400
    assert times.duration("1.5s") == 1.5
    assert times.duration("-2m") == -120
    assert times.duration("100ms") == pytest.approx(0.1)
    for bad in ("", "h", "5", "1h5", "1 h"):
        with pytest.raises(Invalid):
            times.duration(bad)


def test_moments() -> None:
    assert times.moment("10m", now=1000) == 400
    assert times.moment("1136073600.5") == 1136073600.5
    assert times.moment("2006-01-01T00:00:00Z") == 1136073600
    assert times.moment("2006-01-01T00:00:00.25+00:00") == 1136073600.25
    assert times.moment("2006-01-01T01:00:00+01:00") == 1136073600
    for bad in ("yesterday", "2006-13-01T00:00:00Z", "2006-1-1", "∞"):
        with pytest.raises(Invalid):
            times.moment(bad)


def test_until_is_one() -> None:
    assert times.until(()) is None
    assert times.until(("5",)) == 5
    with pytest.raises(Invalid, match="more than one until filter specified"):
        times.until(("5", "6"))


@given(st.integers(min_value=0, max_value=4_000_000_000_000_000_000))
def test_nanoseconds_print_and_read_back(nanoseconds: int) -> None:
    text = times.rfc3339_nano(nanoseconds)
    assert text.endswith("Z")
    assert times.moment(text) == pytest.approx(nanoseconds / 1e9)
