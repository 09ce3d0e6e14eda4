"""Variable expansion in Dockerfile words: quotes, escapes, $x and every ${x...} modifier.

The rules are BuildKit's (its truth tables run against this file from outside the tree): a subset of the POSIX shell,
plus ${x/pattern/replacement}.  Knows nothing of instructions; globs.py has the patterns of # % and /.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from corten.build.dockerfile import globs
from corten.build.dockerfile.go import is_space, quote
from corten.errors import Invalid

SPECIAL_PARAMETERS = frozenset("@*#?-$!0")
MAX_NESTING = 100
MAX_EXPANSION = 1 << 20
"""More than the kernel takes as one argument or variable: values that double from line to line end here."""


@dataclass(frozen=True, slots=True)
class Style:
    """How much of the word is left as it stands."""

    raw_quotes: bool = False
    """Quotes stay in the result."""
    raw_escapes: bool = False
    """Escape characters stay in the result."""
    keep_unset: bool = False
    """A variable that is not set stays as it is written."""
    plain_quotes: bool = False
    """Quotes have no meaning (heredoc bodies)."""


PLAIN = Style()


@dataclass(frozen=True, slots=True)
class Expansion:
    """A word after expansion: as one string, split at unquoted spaces, and the variables it asked for."""

    text: str
    words: tuple[str, ...]
    used: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()


def expand(word: str, env: Mapping[str, str], *, escape: str = "\\", style: Style = PLAIN) -> Expansion:
    """Expand ``word``.  Raises Invalid for bad syntax and for ${x?message}."""
    lexer = _Lexer(word, env, escape, style)
    try:
        text, words = lexer.run(None, style.raw_escapes)
    except Invalid as failure:
        raise Invalid(f"failed to process {quote(word)}: {failure.message}") from None
    return Expansion(text, tuple(words), frozenset(lexer.used), frozenset(lexer.missing))


@dataclass(slots=True)
class _Words:
    """Collects words: unquoted spaces end one, everything quoted belongs to it."""

    done: list[str] = field(default_factory=list)
    buffer: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        for char in text:
            if not is_space(char):
                self.buffer.append(char)
            elif self.buffer:
                self.finish()

    def finish(self) -> None:
        if self.buffer:
            self.done.append("".join(self.buffer))
            self.buffer.clear()


class _Lexer:
    def __init__(self, source: str, env: Mapping[str, str], escape: str, style: Style) -> None:
        self.source = source
        self.env = env
        self.escape = escape
        self.style = style
        self.raw_escapes = style.raw_escapes
        self.position = 0
        self.depth = 0
        self.made = 0
        self.used: set[str] = set()
        self.missing: set[str] = set()

    def peek(self) -> str:
        return self.source[self.position : self.position + 1]

    def next(self) -> str:
        char = self.peek()
        self.position += 1
        return char

    def at_end(self) -> bool:
        return self.position >= len(self.source)

    def run(self, stop: str | None, raw_escapes: bool) -> tuple[str, list[str]]:
        """Up to the end, or up to (and past) ``stop``."""
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise Invalid("syntax error: substitutions are nested too deeply")
        before, self.raw_escapes = self.raw_escapes, raw_escapes
        try:
            return self._run(stop)
        finally:
            self.raw_escapes = before
            self.depth -= 1

    def _run(self, stop: str | None) -> tuple[str, list[str]]:
        out: list[str] = []
        words = _Words()
        while not self.at_end():
            char = self.next()
            if char == stop:
                words.finish()
                return "".join(out), words.done
            if char == "$":
                text = self.dollar()
                words.add(text)
            elif char in "'\"" and not self.style.plain_quotes:
                text = self.single_quoted() if char == "'" else self.double_quoted()
                words.buffer.extend(text)
            elif char == "<" and self.peek() == "<":
                text = self.heredoc_mark()
                words.buffer.extend(text)
            elif char == self.escape:
                text = (char if self.raw_escapes else "") + self.next()
                words.buffer.extend(text)
            else:
                text = char
                words.add(char)
            out.append(text)
        if stop is not None:
            raise Invalid(f"unexpected end of statement while looking for matching {stop}")
        words.finish()
        return "".join(out), words.done

    def heredoc_mark(self) -> str:
        """``<<`` with the blanks after it: they belong to the word, for ``<< EOF`` is one."""
        start = self.position - 1
        self.position += 1
        while self.peek() and self.peek() in "\t\r ":
            self.position += 1
        return self.source[start : self.position]

    def single_quoted(self) -> str:
        end = self.source.find("'", self.position)
        if end < 0:
            self.position = len(self.source)
            raise Invalid("unexpected end of statement while looking for matching single-quote")
        text = self.source[self.position : end]
        self.position = end + 1
        return f"'{text}'" if self.style.raw_quotes else text

    def double_quoted(self) -> str:
        out = ['"' if self.style.raw_quotes else ""]
        while not self.at_end():
            char = self.next()
            if char == '"':
                out.append('"' if self.style.raw_quotes else "")
                return "".join(out)
            if char == "$":
                out.append(self.dollar())
            elif char == self.escape:
                if self.raw_escapes:
                    out.append(char)
                following = self.peek()
                # In double quotes only these can be escaped; before any other character the escape stands for itself.
                if following in ('"', "$", self.escape):
                    out.append(self.next())
                elif following:
                    out.append(char)
            else:
                out.append(char)
        raise Invalid("unexpected end of statement while looking for matching double-quote")

    def name(self) -> str:
        start = self.position
        first = self.peek()
        if first.isdecimal():
            while self.peek().isdecimal():
                self.position += 1
        elif first and first in SPECIAL_PARAMETERS:
            self.position += 1
        else:
            while (char := self.peek()) and (char.isalpha() or char.isdecimal() or char == "_"):
                self.position += 1
        return self.source[start : self.position]

    def lookup(self, name: str) -> str | None:
        value = self.env.get(name)
        (self.missing if value is None else self.used).add(name)
        return value

    def dollar(self) -> str:
        """A substitution; all of them together may not grow without bounds."""
        text = self.substitution()
        self.made += len(text)
        if self.made > MAX_EXPANSION:
            raise Invalid(f"the value is larger than {MAX_EXPANSION} bytes")
        return text

    def substitution(self) -> str:
        """After a ``$``."""
        if self.peek() == "{":
            self.position += 1
            return self.braces()
        name = self.name()
        if not name:
            return "$"
        value = self.lookup(name)
        if value is None:
            return f"${name}" if self.style.keep_unset else ""
        return value

    def braces(self) -> str:
        """After ``${``."""
        if self.at_end():
            raise Invalid("syntax error: missing '}'")
        if self.peek() in "{}:":
            raise Invalid("syntax error: bad substitution")
        name = self.name()
        modifier = self.next()
        if modifier == "}":
            value = self.lookup(name)
            if value is None:
                return f"${{{name}}}" if self.style.keep_unset else ""
            return value
        if modifier == "/":
            return self.replaced(name)
        if modifier in ("+", "-", "?", "#", "%"):
            return self.modified(name, modifier, modifier)
        if modifier == ":":
            modifier = self.next()
            return self.modified(name, modifier, f":{modifier}")
        if not modifier:
            raise Invalid("syntax error: missing '}'")
        raise Invalid(f"unsupported modifier ({modifier}) in substitution")

    def word_before(self, stop: str, raw_escapes: bool, complaint: str) -> str:
        try:
            return self.run(stop, raw_escapes)[0]
        except Invalid:
            if self.at_end():
                raise Invalid(complaint) from None
            raise

    def modified(self, name: str, modifier: str, written: str) -> str:
        trims = modifier in ("#", "%")
        empty_counts = written.startswith(":")
        if empty_counts and trims:
            raise Invalid(f"unsupported modifier ({written}) in substitution")
        word = self.word_before("}", trims, "syntax error: missing '}'")
        value = self.lookup(name)
        if value is None and self.style.keep_unset:
            return f"${{{name}{written}{word}}}"
        lacking = value is None or (empty_counts and value == "")
        if modifier == "-":
            return word if lacking else value or ""
        if modifier == "+":
            return "" if lacking else word
        if modifier == "?":
            if lacking:
                complaint = "is not allowed to be " + ("unset" if value is None else "empty")
                raise Invalid(f"{name}: {word or complaint}")
            return value or ""
        if trims:
            longest = word.startswith(modifier)
            trim = globs.trim_prefix if modifier == "#" else globs.trim_suffix
            return trim(value or "", word[1:] if longest else word, longest=longest)
        raise Invalid(f"unsupported modifier ({written}) in substitution")

    def replaced(self, name: str) -> str:
        every = self.peek() == "/"
        if every:
            self.position += 1
        pattern = self.word_before("/", True, "syntax error: missing '/' in ${}")
        replacement = self.word_before("}", True, "syntax error: missing '}'")
        value = self.lookup(name)
        if value is None and self.style.keep_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        return globs.replace(value or "", pattern, replacement, every=every)
