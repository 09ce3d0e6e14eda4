"""The body of a build that brings more than its context: parts, the context last.

Owns: reading ``--secret``, ``--build-context`` and local caches, and the multipart stream.  For ``--ssh`` read
agents.py, for what the daemon makes of the parts docs/builds.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from corten.cli.buildcontext import archive, ignore
from corten.cli.values import split_csv
from corten.errors import Invalid, NotFound

SECRET_LIMIT = 500 << 10
IMAGE, PART = "docker-image://", "part:"
_REMOTE = ("http://", "https://", "git://", "git@", "ssh://", "github.com/")


@dataclass
class Parts:
    """``queries`` are added to the query, ``streams`` to the body."""

    queries: dict[str, dict[str, str]] = field(default_factory=dict)
    streams: list[tuple[str, Iterable[bytes]]] = field(default_factory=list)


def fields(word: str, what: str) -> dict[str, str]:
    """``id=x,src=y``: raises Invalid."""
    found: dict[str, str] = {}
    for item in split_csv(word):
        name, equals, value = item.partition("=")
        if not equals:
            raise Invalid(f"invalid field '{item}' in {what} must be a key=value pair")
        found[name.strip().lower()] = value
    return found


def secrets(words: list[str]) -> dict[str, bytes]:
    """``id=NAME[,src=FILE|,env=VARIABLE]``: values by their ids."""
    found: dict[str, bytes] = {}
    for word in words:
        given = fields(word, "secret")
        unknown = set(given) - {"id", "src", "source", "env", "type"}
        if unknown:
            raise Invalid(f"unexpected key '{min(unknown)}' in '{word}'")
        source, variable = given.get("src", given.get("source", "")), given.get("env", "")
        kind = given.get("type", "")
        if kind not in ("", "file", "env"):
            raise Invalid(f"unsupported secret type '{kind}'")
        name = given.get("id", "") or os.path.basename(source) or variable
        if not name:
            raise Invalid(f"secret '{word}' has no id")
        if kind == "env" and not variable:
            variable, source = source or name, ""
        if not variable and not source and kind == "" and name in os.environ:
            variable = name
        found[name] = _from_environment(name, variable) if variable else _from_file(name, source or name)
    return found


def _from_environment(name: str, variable: str) -> bytes:
    value = os.environ.get(variable)
    if value is None:
        raise NotFound(f"secret {name}: the environment variable {variable} is not set")
    return value.encode("utf-8", "surrogateescape")


def _from_file(name: str, path: str) -> bytes:
    try:
        with open(os.path.expanduser(path), "rb") as file:
            data = file.read(SECRET_LIMIT + 1)
    except OSError as error:
        raise NotFound(f"failed to stat {path}: {error.strerror}") from error
    if len(data) > SECRET_LIMIT:
        raise Invalid(f"invalid secret {name}: larger than {SECRET_LIMIT} bytes")
    return data


def contexts(words: list[str], parts: Parts) -> None:
    """``name=docker-image://…``, ``name=https://…`` or ``name=directory``."""
    named: dict[str, str] = {}
    for word in words:
        name, equals, where = word.partition("=")
        if not (name and equals and where):
            raise Invalid(f"invalid context value: {word}, expected key=value")
        if where.startswith((IMAGE, *_REMOTE)) and not os.path.isdir(where):
            named[name] = where
        elif os.path.isdir(where):
            named[name] = PART
            parts.streams.append((f"context/{name}", archive.stream(os.path.realpath(where), _matcher(where))))
        else:
            raise NotFound(f"failed to get build context path {{{name} {where}}}: no such file or directory")
    parts.queries["contexts"] = named


def cache(directory: str) -> Iterable[bytes]:
    """What --cache-to=type=local wrote, as it was; nothing where there is nothing yet."""
    if not os.path.isdir(directory):
        return ()
    return archive.stream(os.path.realpath(directory), ignore.Matcher(()))


def _matcher(directory: str) -> ignore.Matcher:
    try:
        with open(os.path.join(directory, ".dockerignore"), encoding="utf-8") as file:
            return ignore.Matcher(ignore.read(file.read()))
    except FileNotFoundError:
        return ignore.Matcher(())


def multipart(streams: list[tuple[str, Iterable[bytes]]], boundary: str) -> Iterator[bytes]:
    """The body of a request of ``multipart/form-data``."""
    for name, pieces in streams:
        if any(ord(character) < 32 or character in '"\\' for character in name):
            raise Invalid(f"invalid name {name!r}")
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n'
        yield f"{head}Content-Type: application/octet-stream\r\n\r\n".encode()
        yield from pieces
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()
