"""One way to print JSON, so that the same value always has the same bytes and so the same digest.

Owns: canonical(), and the strict reading of JSON objects that came from outside.  Knows nothing of what is printed.
"""

from __future__ import annotations

import json
from typing import Any

from corten.errors import Invalid


def canonical(value: Any) -> bytes:
    """``value`` as UTF-8 JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def parse_object(data: bytes | str, what: str) -> dict[str, Any]:
    """The JSON object in ``data``; Invalid, naming ``what``, when it is none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"invalid {what}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Invalid(f"invalid {what}: expected a JSON object, got {type(value).__name__}")
    return value
