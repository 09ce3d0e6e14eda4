"""Go's regular expressions, as filters and log options take them: found or not, in time linear to the text.

Owns: the search, for texts of RE2's syntax (``pattern_syntax.py``).  Python's ``re`` tries one way after the other, so
that a few characters of a user's could hold the daemon for hours; here all ways are followed at once, as a set of
states, and which set follows on which is remembered.  Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from corten.api import pattern_syntax as syntax
from corten.api.filters import Filters
from corten.errors import Invalid

_MOST_STATES = 5000
_MOST_REMEMBERED = 20_000  # members of sets, over all of an expression's memory
_PLAIN = frozenset("\\.+*?()|[]{}^$")

_EDGE, _NEWLINE, _WORD, _OTHER = range(4)  # what is beside a position


@dataclass(slots=True)
class _State:
    """Goes on to ``following`` without reading if it has no ``reads``; a position must be as ``wants`` says."""

    following: tuple[int, ...] = ()
    reads: Callable[[str], bool] | None = None
    wants: str = ""


@dataclass(slots=True)
class Expression:
    """A compiled expression; ``search`` says whether it is found."""

    states: list[_State]
    start: int
    _closed: dict[tuple[frozenset[int], int, int], tuple[bool, frozenset[int]]] = field(default_factory=dict)
    _stepped: dict[tuple[frozenset[int], str], frozenset[int]] = field(default_factory=dict)
    _remembered: int = 0

    def search(self, text: str) -> bool:
        reached: frozenset[int] = frozenset()
        before = _EDGE
        for char in text:
            after = _beside(char)
            is_found, ready = self._close(reached, before, after)
            if is_found:
                return True
            reached, before = self._step(ready, char), after
        return self._close(reached, before, _EDGE)[0]

    def _close(self, reached: frozenset[int], before: int, after: int) -> tuple[bool, frozenset[int]]:
        """Whether the end is reached, and the states that read the next character."""
        key = (reached, before, after)
        if (known := self._closed.get(key)) is not None:
            return known
        waiting, seen, ready, is_found = [self.start, *reached], set[int](), set[int](), False
        while waiting:
            number = waiting.pop()
            if number in seen:
                continue
            seen.add(number)
            state = self.states[number]
            if state.wants and not _holds(state.wants, before, after):
                continue
            if state.reads is not None:
                ready.add(number)
            elif not state.following:
                is_found = True
            else:
                waiting.extend(state.following)
        self._make_room(len(ready))
        found = self._closed[key] = (is_found, frozenset(ready))
        return found

    def _step(self, ready: frozenset[int], char: str) -> frozenset[int]:
        key = (ready, char)
        if (known := self._stepped.get(key)) is not None:
            return known
        next_ones = set[int]()
        for number in ready:
            state = self.states[number]
            if state.reads is not None and state.reads(char):
                next_ones.update(state.following)
        self._make_room(len(next_ones))
        found = self._stepped[key] = frozenset(next_ones)
        return found

    def _make_room(self, members: int) -> None:
        self._remembered += members + 1
        if self._remembered > _MOST_REMEMBERED:
            self._closed.clear()
            self._stepped.clear()
            self._remembered = members + 1


def _beside(char: str) -> int:
    if char == "\n":
        return _NEWLINE
    return _WORD if syntax.is_word(char) else _OTHER


def _holds(wanted: str, before: int, after: int) -> bool:
    match wanted:
        case "text begins":
            return before == _EDGE
        case "text ends":
            return after == _EDGE
        case "line begins":
            return before in (_EDGE, _NEWLINE)
        case "line ends":
            return after in (_EDGE, _NEWLINE)
        case "word edge":
            return (before == _WORD) != (after == _WORD)
        case _:
            return (before == _WORD) == (after == _WORD)


@lru_cache(maxsize=32)
def compile_expression(text: str) -> Expression:
    """Raises Invalid in Go's words, and for what needs too many states."""
    return _Builder().build(syntax.parse(text))


@dataclass(slots=True)
class _Builder:
    """Makes states from the end to the start: each part is told what follows it."""

    states: list[_State] = field(default_factory=list)
    made: int = 0

    def build(self, whole: syntax.Node) -> Expression:
        end = self._state()
        start = self._part(whole, end)
        return Expression(self.states, start)

    def _state(self, *following: int, reads: Callable[[str], bool] | None = None, wants: str = "") -> int:
        self.states.append(_State(following, reads, wants))
        return len(self.states) - 1

    def _part(self, node: syntax.Node, following: int) -> int:
        self.made += 1
        if self.made > _MOST_STATES:
            raise Invalid("error parsing regexp: expression too large")
        match node:
            case syntax.Reads(fits):
                return self._state(following, reads=fits)
            case syntax.Wants(what):
                return self._state(following, wants=what)
            case syntax.Sequence(parts):
                for part in reversed(parts):
                    following = self._part(part, following)
                return following
            case syntax.Choice(parts):
                return self._state(*[self._part(part, following) for part in parts])
            case syntax.Repeat(part, least, most):
                return self._repeated(part, least, most, following)

    def _repeated(self, part: syntax.Node, least: int, most: int | None, following: int) -> int:
        if most is None:
            loop = self._state()
            self.states[loop].following = (self._part(part, loop), following)
            following = loop
        else:
            end = following
            for _ in range(most - least):
                following = self._state(self._part(part, following), end)
        for _ in range(least):
            following = self._part(part, following)
        return following


def found(pattern: str, text: str) -> bool:
    """Whether the expression is found in the text; raises Invalid if it is none."""
    if _PLAIN.isdisjoint(pattern):
        return pattern in text
    return compile_expression(pattern).search(text)


def fits(filters: Filters, name: str, value: str) -> bool:
    """True if the name is not filtered, or a value is the same or found as an expression (if it is one)."""
    wanted = filters.get(name)
    return not wanted or value in wanted or any(_is_found(pattern, value) for pattern in wanted)


def _is_found(pattern: str, value: str) -> bool:
    try:
        return found(pattern, value)
    except Invalid:
        return False
