"""Pieces of a template into a tree.

Owns: the grammar of actions: if, with, range, else, end, pipelines, variables, parentheses.
Knows nothing of values; for those read evaluate.py.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, NamedTuple

from corten.cli.output.template.lex import Piece, TemplateError, Token, pieces, tokens


class Text(NamedTuple):
    """Literal text."""

    text: str


class Operand(NamedTuple):
    """Something with a value, and the fields taken from it: ``.A.B``, ``$x.A``, ``(…).A``, ``"text"``, ``json``."""

    kind: str  # dot, variable, literal, pipe, name
    value: Any
    fields: tuple[str, ...] = ()
    column: int = 0


class Pipe(NamedTuple):
    """Commands, each of which is given the value of the one before; maybe kept in a variable."""

    commands: tuple[tuple[Operand, ...], ...]
    variables: tuple[str, ...] = ()
    declares: bool = True


class Print(NamedTuple):
    """``{{pipe}}``."""

    pipe: Pipe


class Block(NamedTuple):
    """``if``, ``with`` or ``range``."""

    kind: str
    pipe: Pipe
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


class Leave(NamedTuple):
    """``break`` or ``continue``."""

    kind: str


Node = Text | Print | Block | Leave

_KEYWORDS = frozenset({"if", "with", "range", "else", "end", "break", "continue"})
_UNSUPPORTED = frozenset({"define", "template", "block"})
_LITERALS = {"true": True, "false": False, "nil": None}


def parse(text: str, functions: Container[str]) -> tuple[Node, ...]:
    """The tree of a template that may call these functions; raises TemplateError."""
    return _Parser(pieces(text), functions).whole()


class _Parser:
    def __init__(self, found: list[Piece], functions: Container[str]) -> None:
        self._pieces = found
        self._functions = functions
        self._at = 0

    def whole(self) -> tuple[Node, ...]:
        nodes, stop = self._nodes()
        if stop is not None:
            raise TemplateError(f"template: :1: unexpected {{{{{stop}}}}}")
        return nodes

    def _nodes(self) -> tuple[tuple[Node, ...], str | None]:
        """Nodes up to an ``end`` or ``else``, and the words of that."""
        nodes: list[Node] = []
        while self._at < len(self._pieces):
            piece = self._pieces[self._at]
            self._at += 1
            if not piece.is_action:
                nodes.append(Text(piece.text))
                continue
            words = self._tokens(piece)
            first = words[0].text if words and words[0].kind == "name" else ""
            if first in ("end", "else"):
                return tuple(nodes), piece.text.strip()
            if first in ("if", "with", "range"):
                nodes.append(self._block(first, words[1:]))
            elif first in ("break", "continue") and len(words) == 1:
                nodes.append(Leave(first))
            elif first in _UNSUPPORTED:
                raise TemplateError(f"template: :1: {{{{{first}}}}} is not supported")
            else:
                nodes.append(Print(_pipeline(words)))
        return tuple(nodes), None

    def _tokens(self, piece: Piece) -> list[Token]:
        words = tokens(piece)
        for at, word in enumerate(words):
            known = word.text in _KEYWORDS or word.text in _LITERALS or word.text in self._functions
            if word.kind == "name" and not known and not (at == 0 and word.text in _UNSUPPORTED):
                raise TemplateError(f'template: :1: function "{word.text}" not defined')
        return words

    def _block(self, kind: str, words: list[Token]) -> Block:
        pipe = _pipeline(words)
        body, stop = self._nodes()
        otherwise: tuple[Node, ...] = ()
        if stop is not None and stop.startswith("else"):
            rest = stop[4:].strip()
            if rest:
                inner = self._tokens(Piece(rest, is_action=True))
                return Block(kind, pipe, body, (self._block(inner[0].text, inner[1:]),))
            otherwise, stop = self._nodes()
        if stop is None:
            raise TemplateError("template: :1: unexpected EOF")
        if stop != "end":
            raise TemplateError(f"template: :1: unexpected {{{{{stop}}}}}")
        return Block(kind, pipe, body, otherwise)


def _pipeline(words: list[Token]) -> Pipe:
    words = _strip(words)
    variables: list[str] = []
    declares = True
    sign = next((at for at, word in enumerate(words) if word.kind in (":=", "=")), None)
    if sign is not None and all(word.kind in ("variable", ",", "space") for word in words[:sign]):
        variables = [word.text for word in words[:sign] if word.kind == "variable"]
        declares = words[sign].kind == ":="
        words = _strip(words[sign + 1 :])
    if not words:
        raise TemplateError("template: :1: missing value for command")
    commands, rest = _commands(words)
    if rest:
        raise TemplateError(f"template: :1: unexpected {rest[0].text!r} in command")
    return Pipe(tuple(commands), tuple(variables), declares)


def _strip(words: list[Token]) -> list[Token]:
    start, end = 0, len(words)
    while start < end and words[start].kind == "space":
        start += 1
    while end > start and words[end - 1].kind == "space":
        end -= 1
    return words[start:end]


def _commands(words: list[Token]) -> tuple[list[tuple[Operand, ...]], list[Token]]:
    commands: list[tuple[Operand, ...]] = []
    current: list[Operand] = []
    while words and words[0].kind != ")":
        word = words[0]
        if word.kind == "space":
            words = words[1:]
        elif word.kind == "|":
            if not current:
                raise TemplateError("template: :1: missing value for command")
            commands.append(tuple(current))
            current, words = [], words[1:]
        else:
            operand, words = _operand(words)
            current.append(operand)
    if not current:
        raise TemplateError("template: :1: missing value for command")
    return [*commands, tuple(current)], words


def _operand(words: list[Token]) -> tuple[Operand, list[Token]]:
    word, rest = words[0], words[1:]
    if word.kind == "(":
        commands, rest = _commands(rest)
        if not rest:
            raise TemplateError("template: :1: unclosed left paren")
        operand = Operand("pipe", Pipe(tuple(commands)), column=word.column)
        rest = rest[1:]
    elif word.kind == "field":
        operand, rest = Operand("dot", None, column=word.column), words
    elif word.kind == ".":
        operand = Operand("dot", None, column=word.column)
    elif word.kind == "variable":
        operand = Operand("variable", word.text, column=word.column)
    elif word.kind == "string":
        operand = Operand("literal", word.text, column=word.column)
    elif word.kind == "number":
        operand = Operand("literal", _number(word.text), column=word.column)
    elif word.kind == "name" and word.text in _LITERALS:
        operand = Operand("literal", _LITERALS[word.text], column=word.column)
    elif word.kind == "name":
        operand = Operand("name", word.text, column=word.column)
    else:
        raise TemplateError(f"template: :1: unexpected {word.text!r} in operand")
    fields: list[str] = []
    while rest and rest[0].kind == "field":
        fields.append(rest[0].text[1:])
        rest = rest[1:]
    return operand._replace(fields=tuple(fields)), rest


def _number(text: str) -> int | float:
    try:
        return int(text, 0) if not text.lstrip("+-").startswith("0") or "x" in text.lower() else int(text)
    except ValueError:
        return float(text)
