"""The order of names in lists: numbers in them by their value, as docker has it (8 before 57).

Owns: the key to sort by.
"""

from __future__ import annotations

import re

_PART = re.compile(r"\d+|\D")


def natural(name: str) -> tuple[list[tuple[int, int]], str]:
    """A key for ``sorted``."""
    parts = _PART.findall(name)
    return [(ord("0"), int(part)) if part.isdecimal() else (ord(part), 0) for part in parts], name
