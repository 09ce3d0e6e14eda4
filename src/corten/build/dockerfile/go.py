"""Notions of Go that Dockerfile behaviour rests on: what a space is, %q, path.Clean, filepath.Match, durations.

Docker and BuildKit are written in Go, and users see these through them.  Pure; knows nothing of Dockerfiles.
"""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache

from corten.errors import Invalid

SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""unicode.IsSpace (Python's str.isspace also takes the control characters 0x1c to 0x1f)."""

_SPACE_SET = frozenset(SPACES)
_QUOTED = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}
_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_DURATION_PART = re.compile(r"(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)


def is_space(char: str) -> bool:
    return char in _SPACE_SET


def trim(text: str) -> str:
    """strings.TrimSpace."""
    return text.strip(SPACES)


def quote(text: str) -> str:
    """strconv.Quote, which is also %q."""
    out = []
    for char in text:
        if char in _QUOTED:
            out.append(_QUOTED[char])
        elif char.isprintable():
            out.append(char)
        elif ord(char) < 0x20 or ord(char) == 0x7F:
            out.append(f"\\x{ord(char):02x}")
        else:
            out.append(f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}")
    return '"' + "".join(out) + '"'


def clean(path: str) -> str:
    """path.Clean: like normpath, but a leading // is one slash."""
    cleaned = posixpath.normpath(path) if path else "."
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def parse_bool(text: str) -> bool | None:
    """strconv.ParseBool; None where it fails."""
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if text in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    return None


def parse_duration(text: str) -> int:
    """time.ParseDuration, in nanoseconds."""
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    total, position = 0, 0
    while position < len(rest):
        part = _DURATION_PART.match(rest, position)
        if part is None or not (part[1] or part[2]):
            break
        unit = _UNITS[part[3]]
        total += int(part[1][:30] or "0") * unit
        if part[2]:
            total += int(part[2][:18]) * unit // 10 ** len(part[2][:18])
        position = part.end()
    if not rest or position < len(rest):
        unit_missing = re.fullmatch(r"(?:.*[a-zµμ])?[\d.]*\d[\d.]*", rest)
        why = "missing unit in duration" if unit_missing else "invalid duration"
        raise Invalid(f"time: {why} {quote(text)}")
    if total > (1 << 63) - 1:
        raise Invalid(f"time: invalid duration {quote(text)}")
    return -total if text.startswith("-") else total


def match(pattern: str, name: str) -> bool:
    """filepath.Match.  Raises Invalid("syntax error in pattern")."""
    return compile_pattern(pattern).fullmatch(name) is not None


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The regular expression that filepath.Match's ``pattern`` is.

    Each star with the text after it is an atomic group (its leftmost match is as good as any), so that no pattern
    takes more than linear time; the last one must reach the end and is not atomic.
    """
    chunks, position = [""], 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if char == "*":
            if len(chunks) == 1 or chunks[-1]:
                chunks.append("")
        elif char == "?":
            chunks[-1] += "[^/]"
        elif char == "[":
            expression, position = _char_class(pattern, position)
            chunks[-1] += expression
        elif char == "\\":
            if position == len(pattern):
                raise Invalid("syntax error in pattern")
            chunks[-1] += re.escape(pattern[position])
            position += 1
        else:
            chunks[-1] += re.escape(char)
    first, *rest = chunks
    middle = "".join(f"(?>[^/]*?{chunk})" for chunk in rest[:-1])
    return re.compile(first + middle + (f"[^/]*{rest[-1]}" if rest else ""), re.DOTALL)


def _char_class(pattern: str, position: int) -> tuple[str, int]:
    negated = pattern[position : position + 1] == "^"
    position += negated
    ranges: list[str] = []
    count = 0
    while not (count and pattern[position : position + 1] == "]"):
        low, position = _class_char(pattern, position)
        high = low
        if pattern[position : position + 1] == "-":
            high, position = _class_char(pattern, position + 1)
        if low <= high:
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
        count += 1
    position += 1
    if not ranges:
        return ("(?s:.)" if negated else r"(?!)"), position
    return f"[{'^' if negated else ''}{''.join(ranges)}]", position


def _class_char(pattern: str, position: int) -> tuple[str, int]:
    char = pattern[position : position + 1]
    if char in ("", "-", "]"):
        raise Invalid("syntax error in pattern")
    if char == "\\":
        position += 1
        char = pattern[position : position + 1]
        if not char:
            raise Invalid("syntax error in pattern")
    if position + 1 >= len(pattern):
        raise Invalid("syntax error in pattern")
    return char, position + 1
