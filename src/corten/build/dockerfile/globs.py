"""The patterns of ${x#p}, ${x%p} and ${x/p/r}: ``?``, ``*`` and backslash, without brackets (BuildKit's choice).

Matched by walking the set of positions that the pattern can have reached, held as the bits of an int, so that no
pattern is slow.  Pure.
"""

from __future__ import annotations

from corten.build.dockerfile.go import quote
from corten.errors import Invalid

Token = tuple[str, str]
"""("char", c), ("any", "") or ("star", "")."""


def tokens(pattern: str) -> list[Token]:
    out: list[Token] = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if char == "*":
            if not out or out[-1][0] != "star":
                out.append(("star", ""))
        elif char == "?":
            out.append(("any", ""))
        elif char == "\\":
            following = pattern[position : position + 1]
            # } and / had to be escaped to get here; the others are escapes of the pattern itself.
            if not following or following not in "*?\\}/":
                raise Invalid(f"invalid pattern ({pattern}) in substitution: invalid escape {quote(char + following)}")
            out.append(("char", following))
            position += 1
        else:
            out.append(("char", char))
    return out


def _ends(value: str, pattern: list[Token]) -> int:
    """The lengths of prefixes of ``value`` that match, as bits."""
    everywhere = (1 << (len(value) + 1)) - 1
    where: dict[str, int] = {}
    for index, char in enumerate(value):
        where[char] = where.get(char, 0) | 1 << index
    reached = 1
    for kind, char in pattern:
        if not reached:
            break
        if kind == "star":
            lowest = reached & -reached
            reached = everywhere & ~(lowest - 1)
        elif kind == "any":
            reached = (reached << 1) & everywhere
        else:
            reached = (reached & where.get(char, 0)) << 1
    return reached


def _prefix_length(value: str, pattern: list[Token], longest: bool) -> int | None:
    ends = _ends(value, pattern)
    if not ends:
        return None
    return ends.bit_length() - 1 if longest else (ends & -ends).bit_length() - 1


def trim_prefix(value: str, pattern: str, *, longest: bool) -> str:
    length = _prefix_length(value, tokens(pattern), longest)
    return value if length is None else value[length:]


def trim_suffix(value: str, pattern: str, *, longest: bool) -> str:
    length = _prefix_length(value[::-1], tokens(pattern)[::-1], longest)
    return value if length is None else value[: len(value) - length]


def replace(value: str, pattern: str, replacement: str, *, every: bool) -> str:
    """Replace the first match, or every one, taking the longest at each place."""
    compiled = tokens(pattern)
    out: list[str] = []
    position, last_end = 0, -1
    while position <= len(value):
        length = _prefix_length(value[position:], compiled, True)
        # An empty match that touches the match before it does not count (Go's rule).
        if length is None or (length == 0 and position == last_end):
            out.append(value[position : position + 1])
            position += 1
            continue
        out.append(replacement)
        if length == 0:
            out.append(value[position : position + 1])
        position += length or 1
        last_end = position if length else -1
        if not every:
            break
    out.append(value[position:])
    return "".join(out)
