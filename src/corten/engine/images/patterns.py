"""Which names a ``reference`` filter keeps.

Owns: Go's ``path.Match`` patterns as far as names need them.  Knows nothing of where the names are.
"""

from __future__ import annotations

import re
from functools import lru_cache

from corten.errors import Invalid
from corten.spec.reference import Reference


def fits(pattern: str, reference: Reference) -> bool:
    """The pattern fits the short form, with its tag or digest or without.  Raises Invalid for a broken pattern."""
    wanted = _compile(pattern)
    return bool(wanted.match(reference.familiar()) or wanted.match(reference.familiar_name))


@lru_cache(maxsize=256)
def _compile(pattern: str) -> re.Pattern[str]:
    """``*`` and ``?`` stop at a slash; ``[a-z]`` and ``[^a]`` are sets; a backslash takes the next as it is."""
    out, at = "", 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "[":
            end = pattern.find("]", at + (1 if pattern[at : at + 1] == "^" else 0) + 1)
            if end < 0:
                raise Invalid("syntax error in pattern")
            inner = pattern[at:end]
            negated, inner = inner.startswith("^"), inner.removeprefix("^")
            out += f"[{'^' if negated else ''}{re.escape(inner).replace(chr(92) + '-', '-')}]"
            at = end + 1
        elif char == "\\":
            if at >= len(pattern):
                raise Invalid("syntax error in pattern")
            out += re.escape(pattern[at])
            at += 1
        else:
            out += re.escape(char)
    try:
        return re.compile(out + r"\Z")
    except re.error:
        raise Invalid("syntax error in pattern") from None
