"""\"did you mean ...?\": the nearest known word, by edit distance.  Pure."""

from __future__ import annotations

from collections.abc import Iterable

NEAR = 3
"""A suggestion must be nearer than this many edits (BuildKit's limit)."""


def distance(left: str, right: str) -> int:
    """Levenshtein's edit distance."""
    previous = list(range(len(right) + 1))
    for row, char in enumerate(left, 1):
        current = [row]
        for column, other in enumerate(right, 1):
            current.append(min(previous[column] + 1, current[-1] + 1, previous[column - 1] + (char != other)))
        previous = current
    return previous[-1]


def nearest(word: str, options: Iterable[str], *, case_sensitive: bool = True) -> str | None:
    """The nearest option, None where nothing is near or the word itself is among them."""
    wanted = word if case_sensitive else word.lower()
    if len(wanted) > 64:
        return None
    best, best_distance = None, NEAR
    for option in sorted(options):
        candidate = option if case_sensitive else option.lower()
        if candidate == wanted:
            return None
        far = distance(wanted, candidate)
        if far < best_distance:
            best, best_distance = candidate, far
    if best is not None and not case_sensitive and word == word.upper() and word != word.lower():
        return best.upper()
    return best


def with_suggestion(message: str, word: str, options: Iterable[str], *, case_sensitive: bool = True) -> str:
    near = nearest(word, options, case_sensitive=case_sensitive)
    return f"{message} (did you mean {near}?)" if near else message
