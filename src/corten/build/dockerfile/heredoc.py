"""Heredocs: ``<<NAME``, ``<<-NAME``, ``<<"NAME"``, ``3<<NAME``, several on one line.

Owns how the word is read; parser.py takes the body from the lines that follow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from corten.build.dockerfile.words import Style, expand
from corten.errors import Invalid

_WORD = re.compile(r"(\d*)<<(-?)[\t\n\f\r ]*([^<]*)", re.ASCII)
_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Heredoc:
    """One heredoc; ``expand`` is False where its name was quoted, ``chomp`` is ``<<-``."""

    name: str
    expand: bool = True
    chomp: bool = False
    descriptor: int = 0
    content: str = ""

    def ends_with(self, line: str) -> bool:
        """Whether this physical line is the terminator."""
        bare = line.rstrip("\r\n")
        return (bare.lstrip("\t") if self.chomp else bare) == self.name

    def with_content(self, content: str) -> Heredoc:
        return replace(self, content=content)

    def text(self) -> str:
        """The content, without the leading tabs that ``<<-`` takes off."""
        return chomped(self.content) if self.chomp else self.content


def chomped(content: str) -> str:
    return _LEADING_TABS.sub("", content)


def parse(word: str) -> Heredoc | None:
    """The heredoc that ``word`` opens, if it does."""
    match = _WORD.fullmatch(word)
    if match is None or not match[3]:
        return None
    names = expand(match[3], {}, style=Style(keep_unset=True)).words
    if len(names) != 1:
        return None
    quoted = expand(match[3], {}, style=Style(keep_unset=True, raw_quotes=True)).words
    if len(quoted) != 1:
        raise Invalid(f"internal lexing of heredoc produced inconsistent results: {match[3]}")
    # A part of the name is quoted when there are more quotes with the quotes left in.
    is_quoted = _quotes(quoted[0]) != _quotes(names[0])
    return Heredoc(names[0], not is_quoted, match[2] == "-", int(match[1][:9] or "0"))


def find(line: str) -> list[Heredoc]:
    """Every heredoc that a logical line opens, in order."""
    try:
        words = expand(line, {}, style=Style(raw_quotes=True, raw_escapes=True, keep_unset=True)).words
    except Invalid:
        return []  # unbalanced quotes are for the shell to complain about
    return [heredoc for word in words if (heredoc := parse(word)) is not None]


def _quotes(text: str) -> int:
    return text.count("'") + text.count('"')
