"""Times for people: ``3 minutes ago``, ``2026-11-24 23:39:07 +0000 UTC``; and times out of Docker's JSON."""

from __future__ import annotations

import time

MINUTE, HOUR, DAY = 60, 3600, 86400


def human(seconds: float) -> str:
    """How long, in one unit, with Docker's roundings."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < MINUTE:
        return f"{whole} seconds"
    minutes = whole // MINUTE
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / HOUR + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{int(seconds / HOUR) // 24 // 365} years"


def ago(moment: float, now: float | None = None) -> str:
    """``human`` before now."""
    return f"{human((time.time() if now is None else now) - moment)} ago"


def local(moment: float) -> str:
    """``2026-11-24 23:39:07 +0000 UTC``, in the local zone."""
    broken = time.localtime(moment)
    return time.strftime("%Y-%m-%d %H:%M:%S %z ", broken) + (broken.tm_zone or "UTC")


def iso(moment: float) -> str:
    """``2026-11-24T23:39:07Z``, in the local zone."""
    text = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(moment))
    return text[:-5] + "Z" if text.endswith("+0000") else f"{text[:-2]}:{text[-2:]}"


def parse(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 time; 0.0 for none (also Go's year 1)."""
    if not text or text.startswith("0001-"):
        return 0.0
    import datetime

    whole, _, fraction = text.removesuffix("Z").partition(".")
    digits = fraction[: len(fraction) - len(fraction.lstrip("0123456789"))]
    zone = fraction[len(digits) :] if fraction else ""
    try:
        moment = datetime.datetime.fromisoformat(whole + zone)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return moment.timestamp() + (float(f"0.{digits}") if digits else 0.0)
