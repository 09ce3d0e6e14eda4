"""``.dockerignore``: which files of a directory stay behind.

Owns: reading the file, the pattern language (Go's filepath.Match with ``**``), the rule that the last pattern that
matches a path or one of its parents decides.  Pure: paths with ``/`` in, answers out.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from corten.errors import Invalid


class Pattern:
    """One line: a compiled pattern, and whether it takes files back in."""

    def __init__(self, text: str, *, keeps: bool) -> None:
        self.text = text
        self.keeps = keeps
        try:
            self.matches = re.compile(to_regex(text), re.DOTALL).match
        except re.error as error:
            raise Invalid(f"error checking context: syntax error in pattern: {text!r}") from error


def read(content: str) -> list[str]:
    """The patterns of a file: cleaned, without comments and empty lines."""
    found: list[str] = []
    for at, line in enumerate(content.splitlines()):
        text = line.removeprefix("\ufeff") if at == 0 else line
        if text.startswith("#"):
            continue
        text = text.strip()
        keeps = text.startswith("!")
        text = text[1:].strip() if keeps else text
        if text:
            text = posixpath.normpath(text)
            text = text.lstrip("/") if len(text) > 1 else text
        if text:
            found.append(f"!{text}" if keeps else text)
    return found


def to_regex(pattern: str) -> str:
    """A pattern as a regular expression for a whole path."""
    out = ""
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*" and pattern[at : at + 1] == "*":
            at += 1
            if pattern[at : at + 1] == "/":
                at += 1
            # ``**`` at the end takes everything below, elsewhere any number of directories
            out += ".*" if at >= len(pattern) else "(?:.*/)?"
        elif character == "*":
            out += "[^/]*"
        elif character == "?":
            out += "[^/]"
        elif character == "\\":
            out += re.escape(pattern[at : at + 1] or "\\")
            at += 1
        elif character == "[":
            end = pattern.find("]", at + 1)
            if end < 0:
                raise Invalid(f"error checking context: syntax error in pattern: {pattern!r}")
            out += _class(pattern[at:end])
            at = end + 1
        else:
            out += re.escape(character)
    return out + r"\Z"


def _class(inside: str) -> str:
    negated = inside.startswith("^")
    body = inside[1:] if negated else inside
    return f"[{'^' if negated else ''}{body.replace('[', chr(92) + '[')}]"


class Matcher:
    """Patterns in order."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = [
            Pattern(text.removeprefix("!"), keeps=text.startswith("!")) for text in patterns if text not in ("", ".")
        ]
        self._kept = [pattern for pattern in self.patterns if pattern.keeps]

    def ignores(self, path: str) -> bool:
        """Does this path stay behind?"""
        parts = path.split("/")
        candidates = ["/".join(parts[: length + 1]) for length in range(len(parts))]
        ignored = False
        for pattern in self.patterns:
            # Only what could change the answer has to be tried.
            if pattern.keeps != ignored:
                continue
            if any(pattern.matches(candidate) for candidate in reversed(candidates)):
                ignored = not pattern.keeps
        return ignored

    def may_hold_kept(self, folder: str) -> bool:
        """Can something below an ignored folder be taken back in?"""
        prefix = folder + "/"
        for pattern in self._kept:
            plain = re.split(r"[*?\[\\]", pattern.text, maxsplit=1)[0]
            if plain == pattern.text:
                if f"{plain}/".startswith(prefix):
                    return True
            elif plain.startswith(prefix) or prefix.startswith(plain):
                return True
        return False
