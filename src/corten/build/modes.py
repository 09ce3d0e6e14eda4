"""``--chmod``: octal or symbolic modes, applied to a file's mode.  Pure."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable

from corten.errors import Invalid

Change = Callable[[int, bool], int]
"""From a mode and whether it is a directory's to the new mode."""

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)")
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_SHIFTS = {"u": 6, "g": 3, "o": 0}


def parse_mode(text: str) -> Change:
    """Raises Invalid in BuildKit's words."""
    complaint = f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
    if re.fullmatch(r"[0-9]+", text):
        if not re.fullmatch(r"[0-7]{1,8}", text) or int(text, 8) > 0o7777:
            raise Invalid(complaint)
        mode = int(text, 8)
        return lambda _old, _is_directory: mode
    clauses = [_CLAUSE.fullmatch(part) for part in text.split(",")]
    if not all(clauses):
        raise Invalid(complaint)
    actions = [
        (match[1] or "a", action[1], action[2])
        for match in clauses
        if match is not None
        for action in _ACTION.finditer(match[2])
    ]

    def change(mode: int, is_directory: bool) -> int:
        for who, operator, permissions in actions:
            mode = _apply(mode, is_directory, who, operator, permissions)
        return mode

    return change


def _apply(mode: int, is_directory: bool, who: str, operator: str, permissions: str) -> int:
    classes = "ugo" if "a" in who else who
    if permissions and permissions in "ugo":
        bits = mode >> _SHIFTS[permissions] & 7
    else:
        execute = "x" in permissions or ("X" in permissions and (is_directory or bool(mode & 0o111)))
        bits = 4 * ("r" in permissions) | 2 * ("w" in permissions) | execute
    mask = special = 0
    for each in classes:
        mask |= bits << _SHIFTS[each]
    if "s" in permissions:
        special = (stat.S_ISUID if "u" in classes else 0) | (stat.S_ISGID if "g" in classes else 0)
    if "t" in permissions:
        special |= stat.S_ISVTX
    if operator == "+":
        return mode | mask | special
    if operator == "-":
        return mode & ~(mask | special)
    cleared = 0
    for each in classes:
        cleared |= 7 << _SHIFTS[each]
    cleared |= (stat.S_ISUID if "u" in classes else 0) | (stat.S_ISGID if "g" in classes else 0)
    return (mode & ~cleared) | mask | special
