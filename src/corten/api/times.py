"""Moments as the API writes and reads them: RFC 3339 with nanoseconds, Unix seconds, Go durations back from now.

Owns: parsing of ``since`` and ``until`` values and the printing of moments.  Knows no clock but the one it is given.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from corten.errors import Invalid

ZERO = "0001-01-01T00:00:00Z"

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TERM = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(rf"[+-]?(?:{_TERM.pattern})+\Z")
_UNIX = re.compile(r"(\d{1,18})(?:\.(\d{1,9}))?\Z")
_MOMENT = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)"
    r"(?:T(?P<hour>\d\d)(?::(?P<minute>\d\d)(?::(?P<second>\d\d)(?P<fraction>\.\d+)?)?)?)?"
    r"(?P<zone>Z|[+-]\d\d:?\d\d)?\Z"
)


def duration(text: str) -> float:
    """Seconds in a Go duration such as ``1h30m``; raises Invalid."""
    if text == "0":
        return 0.0
    if not _DURATION.match(text):
        raise Invalid(f'time: invalid duration "{text}"')
    total = sum(float(number) * _UNITS[unit] for number, unit in _TERM.findall(text))
    return -total if text.startswith("-") else total


def moment(text: str, now: float | None = None) -> float:
    """Seconds since the epoch: a duration counts back from ``now``; a date without a zone is local.  Raises Invalid."""
    if unix := _UNIX.match(text):
        return int(unix[1]) + (float(f"0.{unix[2]}") if unix[2] else 0.0)
    if _DURATION.match(text):
        return (time.time() if now is None else now) - duration(text)
    found = _MOMENT.match(text)
    if not found:
        raise Invalid(f'failed to parse value as time or duration: "{text}"')
    zone = (found["zone"] or "").replace("Z", "+00:00")
    clock = f"{found['hour'] or '00'}:{found['minute'] or '00'}:{found['second'] or '00'}"
    try:
        read = datetime.fromisoformat(f"{found['day']}T{clock}{zone}")
    except ValueError as error:
        raise Invalid(f'failed to parse value as time or duration: "{text}": {error}') from None
    return read.timestamp() + float(found["fraction"] or 0)


def until(values: Sequence[str]) -> float | None:
    """The moment of a prune's ``until`` filter, if there is one; raises Invalid."""
    if len(values) > 1:
        raise Invalid("more than one until filter specified")
    return moment(values[0]) if values else None


def rfc3339(seconds: float) -> str:
    """A moment in UTC, with as many decimals as it has."""
    return rfc3339_nano(int(seconds * 1_000_000) * 1000)


def rfc3339_nano(nanoseconds: int) -> str:
    """A moment given in nanoseconds, as Go prints it: no trailing zeros."""
    whole, rest = divmod(nanoseconds, 1_000_000_000)
    text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{rest:09d}".rstrip("0").rstrip(".") if rest else ""
    return f"{text}{fraction}Z"


def seconds_of(text: str) -> float:
    """The moment in an image config or a record; 0 where there is none or it cannot be read."""
    try:
        return moment(text) if text and text != ZERO else 0.0
    except Invalid:
        return 0.0
