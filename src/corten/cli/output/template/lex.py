"""Template text into pieces: literal text and actions, and an action into words.

Owns: delimiters, trim markers, comments, the tokens inside an action.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from corten.errors import Invalid


class TemplateError(Invalid):
    """The template cannot be read, or does not fit what it is applied to."""


class Piece(NamedTuple):
    """Literal text, or the inside of an action."""

    text: str
    is_action: bool
    column: int = 0


class Token(NamedTuple):
    """A word of an action."""

    kind: str  # field, variable, name, string, number, char, or the character itself
    text: str
    column: int


_ACTION = re.compile(
    r"""\{\{(?P<left>-\s)?\s*(?P<body>(?:/\*.*?\*/|"(?:\\.|[^"\\\n])*"|`[^`]*`|'(?:\\.|[^'\\\n])*'|(?!\}\}).)*?)"""
    r"""\s*(?P<right>(?<=\s)-)?\}\}""",
    re.DOTALL,
)

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      |(?P<field>\.[A-Za-z_]\w*)
      |(?P<variable>\$\w*)
      |(?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?))
      |(?P<string>"(?:\\.|[^"\\\n])*"|`[^`]*`)
      |(?P<char>'(?:\\.|[^'\\\n])')
      |(?P<declare>:=)
      |(?P<name>[A-Za-z_]\w*)
      |(?P<mark>[.()|,=])""",
    re.VERBOSE,
)


def pieces(text: str) -> list[Piece]:
    """Text and actions in order; raises TemplateError at an action without end."""
    found: list[Piece] = []
    at = 0
    trim = False
    while at < len(text):
        start = text.find("{{", at)
        literal = text[at:] if start < 0 else text[at:start]
        match = _ACTION.match(text, start) if start >= 0 else None
        if start >= 0 and match is None:
            raise TemplateError(f"template: :{text.count(chr(10), 0, start) + 1}: unclosed action")
        if trim:
            literal = literal.lstrip()
        trim = False
        if match and match["left"]:
            literal = literal.rstrip()
        if literal:
            found.append(Piece(literal, is_action=False))
        if match is None:
            break
        if not match["body"].startswith("/*"):
            found.append(Piece(match["body"], is_action=True, column=match.start("body")))
        trim = bool(match["right"])
        at = match.end()
    return found


def tokens(piece: Piece) -> list[Token]:
    """The words of an action, with a blank one where white space stands; raises TemplateError."""
    found: list[Token] = []
    at = 0
    while at < len(piece.text):
        match = _TOKEN.match(piece.text, at)
        if match is None:
            raise TemplateError(f"template: :1: unexpected {piece.text[at]!r} in command")
        kind = match.lastgroup or ""
        word = match[0]
        column = piece.column + at
        if kind == "string":
            word = unquote(word)
        elif kind == "char":
            kind, word = "number", str(ord(unquote('"' + word[1:-1] + '"')))
        elif kind in ("mark", "declare"):
            kind = word
        found.append(Token(kind, word, column))
        at = match.end()
    return found


def unquote(word: str) -> str:
    """The text of a Go string literal."""
    if word.startswith("`"):
        return word[1:-1]
    plain = re.sub(r"\\x([0-9a-fA-F]{2})", r"\\u00\1", word)
    plain = plain.replace(r"\a", r"\u0007").replace(r"\v", r"\u000b").replace(r"\'", "'")
    try:
        return str(json.loads(plain))
    except ValueError as error:
        raise TemplateError(f"template: :1: invalid syntax: {word}") from error


def escapes(text: str) -> str:
    r"""``\t`` and ``\n`` as people type them in a shell; Docker turns them into tabs and lines before parsing."""
    return text.replace("\\t", "\t").replace("\\n", "\n")
