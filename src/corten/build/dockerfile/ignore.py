"""``.dockerignore``: reading it, and which paths it leaves out.

The rules are moby/patternmatcher's: filepath.Match plus ``**``, ``!`` brings back, the last match wins, and a path
whose parent matches is matched too.  Pure: paths are strings with slashes, relative to the context.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from corten.api import patterns
from corten.build.dockerfile import go
from corten.errors import Invalid

ParentMatches = tuple[bool, ...]
"""For each pattern, whether it matched the directory that holds the path."""


def read(text: str) -> list[str]:
    """The patterns of an ignore file: no comments, no blank lines, cleaned, without a leading slash."""
    patterns: list[str] = []
    for line in text.removeprefix("\ufeff").split("\n"):
        if line.startswith("#") or not go.trim(line):
            continue
        pattern = go.trim(line)
        is_exception = pattern.startswith("!")
        if is_exception:
            pattern = go.trim(pattern[1:])
        if pattern:
            pattern = go.clean(pattern)
            if len(pattern) > 1 and pattern.startswith("/"):
                pattern = pattern[1:]
        patterns.append(f"!{pattern}" if is_exception else pattern)
    return patterns


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line.  ``is_exception`` is ``!``."""

    text: str
    is_exception: bool
    fits: Callable[[str], bool]

    @classmethod
    def parse(cls, text: str) -> Pattern:
        is_exception = text.startswith("!")
        if is_exception:
            text = text[1:]
            if not text:
                raise Invalid('illegal exclusion pattern: "!"')
        go.compile_pattern(text)  # its errors are the errors of the line
        try:
            return cls(text, is_exception, _compile(text))
        except (Invalid, re.error):
            raise Invalid("syntax error in pattern") from None

    def matches(self, path: str) -> bool:
        return self.fits(path)


class Matcher:
    """A list of patterns to hold against paths."""

    def __init__(self, patterns: Iterable[str]) -> None:
        cleaned = (go.clean(stripped) for pattern in patterns if (stripped := go.trim(pattern)))
        self.patterns: tuple[Pattern, ...] = tuple(Pattern.parse(pattern) for pattern in cleaned)
        self.has_exceptions = any(pattern.is_exception for pattern in self.patterns)

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def matches(self, path: str) -> bool:
        """Whether ``path`` is left out, by itself or by a directory above it."""
        parts = path.split("/")
        above: ParentMatches = ()
        matched = False
        for depth in range(1, len(parts) + 1):
            matched, above = self.step("/".join(parts[:depth]), above)
        return matched

    def step(self, path: str, parent: ParentMatches) -> tuple[bool, ParentMatches]:
        """Like ``matches``, for a walk that keeps what it learned of the parent (``()`` for one at the top)."""
        matched = False
        mine: list[bool] = []
        for index, pattern in enumerate(self.patterns):
            hit = bool(parent) and parent[index]
            # Asked in full, not only where it could change the outcome: what a pattern says of a directory counts
            # for everything below it, whatever the patterns before it said.
            hit = hit or pattern.matches(path)
            mine.append(hit)
            if hit:
                matched = not pattern.is_exception
        return matched, tuple(mine)

    def may_bring_back_below(self, directory: str) -> bool:
        """Whether an exception could match something inside a directory that is left out (else it is not walked)."""
        prefix = f"{directory}/"
        return any(
            pattern.is_exception and (pattern.text.startswith(prefix) or _could_reach(pattern.text, directory))
            for pattern in self.patterns
        )


def left_out(path: str, patterns: Sequence[str]) -> bool:
    """One path against patterns as read from a file; the context itself is never left out."""
    cleaned = go.clean(path)
    return cleaned != "." and Matcher(patterns).matches(cleaned)


def _could_reach(pattern: str, directory: str) -> bool:
    """Whether the leading components of a pattern with wildcards fit ``directory``."""
    for part, name in zip(pattern.split("/"), directory.split("/"), strict=False):
        if "**" in part:
            return True
        if not go.match(part, name):
            return False
    return pattern.count("/") > directory.count("/")


_FEW_STARS = 2  # with so few Python's ``re``, which tries them in turn, is the faster


def _compile(pattern: str) -> Callable[[str], bool]:
    expression = f"(?s:{_expression(pattern)})"
    if pattern.replace("**", "*").count("*") > _FEW_STARS:
        return patterns.compile_expression(f"\\A{expression}\\z").search
    compiled = re.compile(expression)
    return lambda path: compiled.fullmatch(path) is not None


def _expression(pattern: str) -> str:
    """The regular expression of a pattern."""
    if pattern.startswith("**") and not pattern.startswith("**/") and not set("*?[]\\") & set(pattern[2:]):
        # docker: a leading ** before plain text is any ending, even in the middle of a name.
        return f".*{re.escape(pattern[2:])}"
    out: list[str] = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if pattern.startswith("**", position - 1):
            position += 1
            position += pattern.startswith("/", position)
            if position >= len(pattern):
                out.append(".*")
            elif not out or out[-1] != "(?:.*/)?":
                out.append("(?:.*/)?")
        elif char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "\\" and position < len(pattern):
            out.append(re.escape(pattern[position]))
            position += 1
        elif char == "[":
            end = _class_end(pattern, position)
            out.append(_class(pattern[position:end]))
            position = end + 1
        else:
            out.append(re.escape(char))
    return "".join(out)


def _class_end(pattern: str, position: int) -> int:
    """Where the class that opened before ``position`` closes (the pattern was checked before)."""
    position += pattern.startswith("^", position)
    while not pattern.startswith("]", position):
        position += 2 if pattern.startswith("\\", position) else 1
    return position


def _class(body: str) -> str:
    negated, body = body.startswith("^"), body.removeprefix("^")
    safe = re.sub(r"\\(.)|([\[&~|])", lambda found: re.escape(found[1] or found[2]), body, flags=re.DOTALL)
    return f"[{'^' if negated else ''}{safe}]"
