"""Command-line flags with the rules of Docker's client: ``-it``, ``-p80:80``, ``--name=x``, ``--rm=false``, ``--``.

Owns: the table in which a command states its flags, parsing by it, the words of each refusal.
A table has a line for each flag::

    -a, --all                Show all containers
    -n, --last=int(-1)       Show the last n created containers
        --format=string      Format the output

that is: short form, long form, kind, default in brackets, help.  Nothing about the meaning of values: read values.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from corten.cli import values
from corten.errors import Invalid

# Kinds that may be given several times.
REPEATED = frozenset(
    {"list", "strings", "map", "filter", "mount", "network", "ulimit", "gpu-request", "stringToString"}
)


# Older spellings that still work and are not shown.
OLDER = {"net": "network", "net-alias": "network-alias", "dns-opt": "dns-option", "time": "timeout"}


class FlagError(Invalid):
    """The command line breaks the command's own rules; the usage line is shown beside it."""


class Flag(NamedTuple):
    """One flag."""

    name: str
    short: str
    kind: str
    default: str
    help: str

    def __str__(self) -> str:
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


def parse_table(text: str) -> dict[str, Flag]:
    """The flags of a table, by name."""
    flags: dict[str, Flag] = {}
    for line in text.splitlines():
        left, _, explanation = line.strip().partition("  ")
        if not left:
            continue
        short = ""
        if not left.startswith("--"):
            short, left = left[1], left[4:]
        name, _, kind = left[2:].partition("=")
        kind, _, default = kind.partition("(")
        flags[name] = Flag(name, short, kind or "bool", default.rstrip(")"), explanation.strip())
    return flags


class Options:
    """The flags as given.  A name that the table does not have is a KeyError: the command has a mistake."""

    def __init__(self, flags: Mapping[str, Flag]) -> None:
        self._flags = flags
        self._given: dict[str, list[str]] = {}

    def add(self, flag: Flag, value: str) -> None:
        """Note a value; raises FlagError if its kind refuses it."""
        try:
            values.check(flag.kind, value)
        except Invalid as error:
            raise FlagError(f'invalid argument "{value}" for "{flag}" flag: {error}') from error
        if flag.kind == "strings":
            self._given.setdefault(flag.name, []).extend(values.split_csv(value))
        elif flag.kind in REPEATED:
            self._given.setdefault(flag.name, []).append(value)
        else:
            self._given[flag.name] = [value]

    def given(self, name: str) -> bool:
        """Was the flag on the command line?"""
        assert name in self._flags, name
        return name in self._given

    def text(self, name: str) -> str:
        """The value, or the default."""
        return self._given[name][-1] if name in self._given else self._flags[name].default

    def on(self, name: str) -> bool:
        """The value of a bool."""
        return values.parse_bool(self.text(name) or "false")

    def number(self, name: str) -> int:
        """The value of a kind of integer."""
        return int(self.text(name) or 0)

    def size(self, name: str) -> int:
        """The value of a size in bytes; -1 stays -1."""
        return values.parse_bytes(self.text(name) or "0")

    def duration(self, name: str) -> int:
        """The value of a duration in nanoseconds."""
        return values.parse_duration(self.text(name) or "0")

    def many(self, name: str) -> list[str]:
        """The values of a repeated flag."""
        assert name in self._flags, name
        return list(self._given.get(name, ()))


def parse(
    arguments: Sequence[str], flags: Mapping[str, Flag], *, interspersed: bool = True
) -> tuple[Options, list[str], bool]:
    """The options, the rest, and whether help was asked for; raises FlagError."""
    options = Options(flags)
    shorts = {flag.short: flag for flag in flags.values() if flag.short}
    rest: list[str] = []
    at = 0
    while at < len(arguments):
        word = arguments[at]
        at += 1
        if word == "--":
            return options, [*rest, *arguments[at:]], False
        if not word.startswith("-") or word == "-":
            if not interspersed:
                return options, [*rest, word, *arguments[at:]], False
            rest.append(word)
        elif word in ("--help", "-h") and not ("h" in shorts and word == "-h"):
            return options, rest, True
        elif word.startswith("--"):
            at = _long(options, flags, word, arguments, at)
        else:
            at = _shorts(options, shorts, word, arguments, at)
    return options, rest, False


def _long(options: Options, flags: Mapping[str, Flag], word: str, arguments: Sequence[str], at: int) -> int:
    name, equals, value = word[2:].partition("=")
    flag = flags.get(name) or flags.get(OLDER.get(name, ""))
    if flag is None:
        raise FlagError(f"unknown flag: --{name}")
    if equals:
        options.add(flag, value)
    elif flag.kind == "bool":
        options.add(flag, "true")
    elif at >= len(arguments):
        raise FlagError(f"flag needs an argument: --{name}")
    else:
        options.add(flag, arguments[at])
        at += 1
    return at


def _shorts(options: Options, shorts: Mapping[str, Flag], word: str, arguments: Sequence[str], at: int) -> int:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = shorts.get(letter)
        if flag is None:
            raise FlagError(f"unknown shorthand flag: {letter!r} in -{letter}{letters}")
        if letters.startswith("="):
            options.add(flag, letters[1:])
            return at
        if flag.kind == "bool":
            options.add(flag, "true")
            continue
        if letters:
            options.add(flag, letters)
            return at
        if at >= len(arguments):
            raise FlagError(f"flag needs an argument: {letter!r} in {word}")
        options.add(flag, arguments[at])
        return at + 1
    return at
