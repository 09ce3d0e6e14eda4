"""Physical lines to logical lines: parser directives, comments, continuations.

Owns the rules of docs.docker.com/reference/dockerfile "Format", "Parser directives" and "Escape".  Knows nothing of
instructions; parser.py asks for logical lines and, where an instruction opens heredocs, for raw ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from corten.build.dockerfile.failures import DockerfileError, Location
from corten.build.dockerfile.go import SPACES, trim

MAX_LINE = 65536
"""The longest physical line, its newline counted."""

_DIRECTIVE = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*", re.ASCII)
_DIRECTIVE_NAMES = frozenset({"syntax", "escape", "check"})


@dataclass(frozen=True, slots=True)
class Directive:
    """``# name=value`` before anything else."""

    name: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class LogicalLine:
    """One instruction's text with its continuations joined, and the comments right above it."""

    text: str
    start: int
    end: int
    comments: tuple[str, ...]
    has_empty_continuation: bool = False


class LineReader:
    """Hands out logical lines; the escape character is known once the directives have passed."""

    def __init__(self, source: str) -> None:
        self._physical = _physical(source)
        self._next = 0
        self._comments: list[str] = []
        self._in_directives = True
        self.directives: dict[str, Directive] = {}
        self.escape = "\\"
        self._continuation = _continuation("\\")

    @property
    def number(self) -> int:
        """The number of the last line read, from 1."""
        return self._next

    def raw(self) -> str | None:
        """The next physical line with its line end; None at the end."""
        if self._next >= len(self._physical):
            return None
        line = self._physical[self._next]
        if len(line) >= MAX_LINE and (len(line) > MAX_LINE or not line.endswith("\n")):
            raise DockerfileError(
                f"dockerfile line greater than max allowed size of {MAX_LINE - 1}", Location(self._next, self._next)
            )
        self._next += 1
        return line

    def logical(self) -> LogicalLine | None:
        """The next logical line; None at the end."""
        while (physical := self.raw()) is not None:
            start = self._next
            is_comment = _is_comment(physical)
            if is_comment:
                self._remember(trim(physical[1:]))
            line = physical.rstrip("\r\n").lstrip(SPACES)
            if self._is_directive(line):
                self._comments.pop()
            text, is_open = self._open_end("" if is_comment else line)
            if not text and not is_open:
                continue
            parts, has_empty = [text], False
            while is_open and (physical := self.raw()) is not None:
                if _is_comment(physical):
                    continue
                line = physical.rstrip("\r\n")
                if not line.lstrip(SPACES):
                    has_empty = True
                    continue
                text, is_open = self._open_end(line)
                parts.append(text)
            comments, self._comments = tuple(self._comments), []
            return LogicalLine("".join(parts), start, self._next, comments, has_empty)
        return None

    def _remember(self, comment: str) -> None:
        if comment:
            self._comments.append(comment)
        else:
            self._comments = []  # an empty comment parts what is above it from the instruction

    def _open_end(self, line: str) -> tuple[str, bool]:
        """The line without its continuation character, and whether it had one."""
        match = self._continuation.search(line)
        return (line[: match.start()], True) if match else (line, False)

    def _is_directive(self, line: str) -> bool:
        if not self._in_directives:
            return False
        match = _DIRECTIVE.fullmatch(line[1:].lstrip(SPACES)) if line.startswith("#") else None
        name = match[1].lower() if match else ""
        if match is None or name not in _DIRECTIVE_NAMES:
            self._in_directives = False
            return False
        here = Location(self._next, self._next)
        if name in self.directives:
            raise DockerfileError(f"only one {name} parser directive can be used", here)
        if name == "escape":
            if match[2] not in ("\\", "`"):
                raise DockerfileError(f"invalid escape token '{match[2]}' does not match ` or \\", here)
            self.escape = match[2]
            self._continuation = _continuation(match[2])
        self.directives[name] = Directive(name, match[2], self._next)
        return True


def _physical(source: str) -> list[str]:
    """Lines with their ends; only a newline ends a line."""
    lines = source.removeprefix("\ufeff").split("\n")
    last = lines.pop()
    return [f"{line}\n" for line in lines] + ([last] if last else [])


def _continuation(escape: str) -> re.Pattern[str]:
    """The escape character last on its line, or followed by blanks only; doubled it is no continuation."""
    token = re.escape(escape)
    return re.compile(rf"(?:(?<=[^{token}])|(?<!.)){token}[ \t]*\Z", re.DOTALL)


def _is_comment(line: str) -> bool:
    return line.lstrip(SPACES).startswith("#")
