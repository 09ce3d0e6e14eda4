"""Names and numbers of signals, as ``docker kill`` and STOPSIGNAL spell them."""

from __future__ import annotations

import signal

from corten.errors import Invalid

_RTMIN, _RTMAX = 34, 64


def number(text: str) -> int:
    """``TERM``, ``SIGTERM``, ``15``, ``RTMIN+3`` as a number; raises Invalid in dockerd's words."""
    value = text.strip().upper()
    if value.isdecimal():
        if 0 < int(value) <= _RTMAX:
            return int(value)
        raise Invalid(f"invalid signal: {text}")
    name = value.removeprefix("SIG")
    for base, start in (("RTMIN", _RTMIN), ("RTMAX", _RTMAX)):
        if name.startswith(base):
            return _real_time(text, start, name.removeprefix(base))
    try:
        return int(signal.Signals[f"SIG{name}"])
    except KeyError:
        raise Invalid(f"invalid signal: {text}") from None


def _real_time(text: str, start: int, offset: str) -> int:
    try:
        value = start + int(offset or "0")
    except ValueError:
        raise Invalid(f"invalid signal: {text}") from None
    if not _RTMIN <= value <= _RTMAX:
        raise Invalid(f"invalid signal: {text}")
    return value
