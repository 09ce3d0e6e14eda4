"""Environment variables and labels: words of the command line and files of lines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from corten.errors import Invalid


def variables(words: Iterable[str], files: Iterable[str]) -> list[str]:
    """Those of files first, then those of the command line; a bare name takes the value that it has here, if any."""
    found = [line for path in files for line in _lines(path)]
    return [entry for word in (*found, *words) if (entry := _variable(word)) is not None]


def _variable(word: str) -> str | None:
    name, equals, _ = word.partition("=")
    if not name:
        raise Invalid(f"invalid environment variable: {word}")
    if equals:
        return word
    return f"{name}={os.environ[name]}" if name in os.environ else None


def labels(words: Iterable[str], files: Iterable[str]) -> dict[str, str]:
    """``name=value`` or a bare name; the last one of a name wins."""
    found: dict[str, str] = {}
    for word in (*(line for path in files for line in _lines(path)), *words):
        name, _, value = word.partition("=")
        if not name:
            raise Invalid(f"invalid label '{word}': empty name")
        found[name] = value
    return found


def _lines(path: str) -> Iterator[str]:
    """The lines of a file that say something; raises Invalid."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = file.read()
    except FileNotFoundError as error:
        raise Invalid(f"open {path}: no such file or directory") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"failed to read file: {path}: {error}") from error
    for line in content.splitlines():
        text = line.lstrip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if equals and not name:
            raise Invalid(f"invalid env file ({path}): no variable name on line '{text}'")
        if any(character.isspace() for character in name.rstrip() if equals) or (equals and name != name.rstrip()):
            raise Invalid(f"invalid env file ({path}): variable '{name}' contains whitespaces")
        yield f"{name}={value}" if equals else text.strip()
