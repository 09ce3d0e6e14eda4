"""Moments on the command line (``--since``, ``--until``) as the API takes them: seconds since 1970."""

from __future__ import annotations

import time

from corten.cli import values
from corten.errors import Invalid


def parameter(text: str, now: float | None = None) -> str:
    """``42m`` ago, an RFC 3339 time or date (in the local zone where it names none), or seconds; raises Invalid."""
    if not text:
        return ""
    try:
        ago = values.parse_duration(text)
    except Invalid:
        pass
    else:
        return _seconds((time.time() if now is None else now) - ago / 1e9)
    whole, _, fraction = text.partition(".")
    is_number = whole.lstrip("-").isdecimal() and (not fraction or fraction.isdecimal())
    if is_number and (len(whole) != 4 or fraction):  # four digits are a year
        return text
    import datetime

    try:
        moment = datetime.datetime.fromisoformat(f"{text}-01-01" if len(text) == 4 else text)
    except ValueError as error:
        raise Invalid(f'failed to parse value as time or duration: "{text}"') from error
    return _seconds(moment.timestamp())


def _seconds(moment: float) -> str:
    return f"{moment:.9f}"
