"""What RE2's expressions say: a text becomes a tree of nodes.  Groups capture nothing, for nobody asks what was found.

Owns: the syntax and Go's words for what is wrong with it.  How a tree is searched for is in ``patterns.py``.  Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from corten.errors import Invalid

_DEEPEST = 100
_MOST_REPEATS = 1000
_ESCAPES = {"a": "\a", "f": "\f", "t": "\t", "n": "\n", "r": "\r", "v": "\v"}
_PERL = {"d": (("0", "9"),), "s": (("\t", "\n"), ("\f", "\r"), (" ", " ")), "w": ()}
_LETTERS = (("A", "Z"), ("a", "z"))
_POSIX: dict[str, tuple[tuple[str, str], ...]] = {
    "alnum": (("0", "9"), *_LETTERS),
    "alpha": _LETTERS,
    "ascii": (("\0", "\x7f"),),
    "blank": (("\t", "\t"), (" ", " ")),
    "cntrl": (("\0", "\x1f"), ("\x7f", "\x7f")),
    "digit": (("0", "9"),),
    "graph": (("!", "~"),),
    "lower": (("a", "z"),),
    "print": ((" ", "~"),),
    "punct": (("!", "/"), (":", "@"), ("[", "`"), ("{", "~")),
    "space": (("\t", "\r"), (" ", " ")),
    "upper": (("A", "Z"),),
    "word": (("0", "9"), ("_", "_"), *_LETTERS),
    "xdigit": (("0", "9"), ("A", "F"), ("a", "f")),
}
_PERL["w"] = _POSIX["word"]
_CATEGORY = re.compile(r"C[cfos]?|L[lmotu]?|M[cen]?|N[dlo]?|P[cdefios]?|S[ckmo]?|Z[lps]?")
_COUNT = re.compile(r"\{([0-9]{1,5})(,([0-9]{0,5}))?\}")
_NUMBER = re.compile(r"x(?:\{([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{2}))|(0[0-7]{0,2}|[1-7][0-7]{1,2})")
_NAMED = re.compile(r"[pP](?:\{(\^?)(\w+)\}|(\w))")
_POSIX_NAME = re.compile(r"\[:(\^?)(\w+):\]")
_GROUP = re.compile(r"\?(?:P?<([A-Za-z0-9_]+)>|([imsU]*)(?:-([imsU]+))?([:)]))")

Fits = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Reads:
    """One character that fits."""

    fits: Fits


@dataclass(frozen=True, slots=True)
class Wants:
    """Nothing, where the place is right: "text begins", "line ends", "word edge", …"""

    what: str


@dataclass(frozen=True, slots=True)
class Sequence:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """``most`` of None is without end."""

    part: Node
    least: int
    most: int | None


Node = Reads | Wants | Sequence | Choice | Repeat


def parse(text: str) -> Node:
    """Raises Invalid in Go's words."""
    return _Parser(text).whole()


def is_word(char: str) -> bool:
    """``\\w``: of ASCII only."""
    return char == "_" or (char.isascii() and char.isalnum())


def _wrong(what: str, where: str) -> Invalid:
    return Invalid(f"error parsing regexp: {what}: `{where}`")


def _among(ranges: tuple[tuple[str, str], ...]) -> Fits:
    return lambda char: any(low <= char <= high for low, high in ranges)


def _not(fits: Fits) -> Fits:
    return lambda char: not fits(char)


def _folded(fits: Fits) -> Fits:
    return lambda char: fits(char) or fits(char.lower()) or fits(char.upper())


def _of_category(name: str) -> Fits:
    return lambda char: unicodedata.category(char).startswith(name)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.flags: frozenset[str] = frozenset()
        self.depth = 0

    def whole(self) -> Node:
        node = self._choice()
        if self.at < len(self.text):
            raise _wrong("unexpected )", self.text)
        return node

    def _next(self, words: str) -> bool:
        """Whether these come next; they are taken."""
        if not self.text.startswith(words, self.at):
            return False
        self.at += len(words)
        return True

    def _choice(self) -> Node:
        flags = self.flags
        parts = [self._sequence()]
        while self._next("|"):
            parts.append(self._sequence())
        self.flags = flags  # set inside a group, they end with it
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            start = self.at
            if self._next("\\Q"):
                end = self.text.find("\\E", self.at)
                quoted = self.text[self.at : end if end >= 0 else len(self.text)]
                self.at += len(quoted) + (2 if end >= 0 else 0)
                parts += [self._literal(char) for char in quoted]
                continue
            atom = self._atom()
            if atom is not None:
                parts.append(self._repeated(atom, start))
        return Sequence(tuple(parts))

    def _repeated(self, atom: Node, start: int) -> Node:
        bounds = self._bounds()
        if bounds is None:
            return atom
        self._next("?")  # lazy: what is found is the same
        if self._bounds() is not None:
            raise _wrong("invalid nested repetition operator", self.text[start : self.at])
        return Repeat(atom, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._next(sign):
                return bounds
        count = _COUNT.match(self.text, self.at)
        if not count:
            return None
        self.at = count.end()
        least = int(count[1])
        most = least if count[2] is None else int(count[3]) if count[3] else None
        if max(least, most or 0) > _MOST_REPEATS or (most is not None and most < least):
            raise _wrong("invalid repeat count", count[0])
        return least, most

    def _atom(self) -> Node | None:
        """None for flags alone."""
        char = self.text[self.at]
        self.at += 1
        match char:
            case "(":
                return self._group()
            case "[":
                return Reads(self._class())
            case ".":
                return Reads(lambda char: True) if "s" in self.flags else Reads(lambda char: char != "\n")
            case "^":
                return Wants("line begins" if "m" in self.flags else "text begins")
            case "$":
                return Wants("line ends" if "m" in self.flags else "text ends")
            case "*" | "+" | "?":
                raise _wrong("missing argument to repetition operator", char)
            case "\\":
                return self._escaped()
        return self._literal(char)

    def _literal(self, char: str) -> Node:
        return Reads(self._cased(_among(((char, char),))))

    def _cased(self, fits: Fits) -> Fits:
        return _folded(fits) if "i" in self.flags else fits

    def _group(self) -> Node | None:
        outside = self.flags
        if self.text.startswith("?", self.at):
            found = _GROUP.match(self.text, self.at)
            if not found:
                raise _wrong("invalid or unsupported Perl syntax", self.text[self.at - 1 : self.at + 2])
            self.at = found.end()
            if found[1] is None:
                self.flags = (self.flags | set(found[2])) - set(found[3] or "")
                if found[4] == ")":
                    return None
        self.depth += 1
        if self.depth > _DEEPEST:
            raise Invalid("error parsing regexp: expression nests too deeply")
        node = self._choice()
        self.depth -= 1
        self.flags = outside
        if not self._next(")"):
            raise _wrong("missing closing )", self.text)
        return node

    def _escaped(self) -> Node:
        for letter, what in (("A", "text begins"), ("z", "text ends"), ("b", "word edge"), ("B", "no word edge")):
            if self._next(letter):
                return Wants(what)
        if (fits := self._named()) is not None:
            return Reads(self._cased(fits))
        return self._literal(self._character())

    def _named(self) -> Fits | None:
        """``d``, ``W``, ``pL`` or ``p{Lu}`` after a backslash."""
        letter = self.text[self.at : self.at + 1]
        if letter in ("p", "P"):
            found = _NAMED.match(self.text, self.at)
            name = (found[2] or found[3]) if found else ""
            if not found or not _CATEGORY.fullmatch(name):
                raise _wrong("invalid character class range", f"\\{self.text[self.at : self.at + 12]}")
            self.at = found.end()
            fits = _of_category(name)
            return _not(fits) if (letter == "P") != bool(found[1]) else fits
        if letter and letter.lower() in _PERL:
            self.at += 1
            fits = _among(_PERL[letter.lower()])
            return _not(fits) if letter.isupper() else fits
        return None

    def _character(self) -> str:
        """What follows a backslash."""
        if self.at >= len(self.text):
            raise Invalid("error parsing regexp: trailing backslash at end of expression: ``")
        char = self.text[self.at]
        if found := _NUMBER.match(self.text, self.at):
            number = int(found[3], 8) if found[3] else int(found[1] or found[2], 16)
            if number <= 0x10FFFF:
                self.at = found.end()
                return chr(number)
        self.at += 1
        if char in _ESCAPES:
            return _ESCAPES[char]
        if char.isascii() and char.isalnum():
            raise _wrong("invalid escape sequence", f"\\{char}")
        return char

    def _class(self) -> Fits:
        start = self.at - 1
        is_negated = self._next("^")
        ranges: list[tuple[str, str]] = []
        kinds: list[Fits] = []
        first = True
        while first or not self.text.startswith("]", self.at):
            first = False
            if self.at >= len(self.text):
                raise _wrong("missing closing ]", self.text[start:])
            if (kind := self._class_kind()) is not None:
                kinds.append(kind)
                continue
            low = high = self._class_character()
            if self.text.startswith("-", self.at) and not self.text.startswith("-]", self.at):
                self.at += 1
                if self.at >= len(self.text):
                    raise _wrong("missing closing ]", self.text[start:])
                high = self._class_character()
            if high < low:
                raise _wrong("invalid character class range", f"{low}-{high}")
            ranges.append((low, high))
        self.at += 1
        kinds.append(_among(tuple(ranges)))
        fits = self._cased(lambda char: any(kind(char) for kind in kinds))
        return _not(fits) if is_negated else fits

    def _class_kind(self) -> Fits | None:
        if found := _POSIX_NAME.match(self.text, self.at):
            if found[2] not in _POSIX:
                raise _wrong("invalid character class range", found[0])
            self.at = found.end()
            fits = _among(_POSIX[found[2]])
            return _not(fits) if found[1] else fits
        if self._next("\\"):
            if (named := self._named()) is not None:
                return named
            self.at -= 1
        return None

    def _class_character(self) -> str:
        if self._next("\\"):
            return self._character()
        self.at += 1
        return self.text[self.at - 1]
