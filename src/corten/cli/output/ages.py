"""Times for people: ``3 minutes ago``, ``2026-11-24 23:39:07 +0000 UTC``; and times out of Docker's JSON."""

from __future__ import annotations

import time

from corten.api.ages import human


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
