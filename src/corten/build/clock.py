"""The moment that images and steps are dated with."""

from __future__ import annotations

import time


def now(epoch: int | None) -> str:
    """As Docker writes it: this moment, or the epoch where the build has one (SOURCE_DATE_EPOCH)."""
    moment = time.time_ns() if epoch is None else epoch * 1_000_000_000
    seconds, nanoseconds = divmod(moment, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    return f"{text}{fraction}Z"
