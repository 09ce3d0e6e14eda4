"""JSON of a request as Go's decoder takes it: numbers that fit 64 bits, text that can be written as UTF-8.

What is let in here is kept, and shown to every client afterwards: one number of 65 bits in one container, and no client
written in Go can list them any more.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from corten.errors import Invalid

_ODD_NUMBER = re.compile(rb"[0-9]{19}|[0-9][eE]|NaN|Infinity")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse(raw: bytes) -> Any:
    """The value; raises Invalid."""
    try:
        value = _checked(raw) if _ODD_NUMBER.search(raw) else json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"invalid JSON: {error}") from error
    return _replaced(value) if _SURROGATE.search(raw) else value


def _checked(raw: bytes) -> Any:
    return json.loads(raw, parse_int=_whole, parse_float=_finite, parse_constant=_refuse)


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _refuse(digits)


def _refuse(word: str) -> float:
    raise ValueError(f"number {word[:40]} is out of range")


def _whole(digits: str) -> int:
    value = int(digits) if len(digits) <= 20 else 1 << 64
    if not -(1 << 63) <= value < 1 << 64:
        raise ValueError(f"number {digits[:40]} is out of range")
    return value


def _replaced(value: Any) -> Any:
    """Halves of pairs become U+FFFD, as in Go."""
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))
