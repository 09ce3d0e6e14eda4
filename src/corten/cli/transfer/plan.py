"""Where a copy goes: the rules of ``cp`` as a table of cases, without touching anything.

Owns: what a trailing ``/`` or ``/.`` means, and what is refused.
"""

from __future__ import annotations

import posixpath
from typing import NamedTuple

from corten.errors import Invalid, NotFound


class Kind(NamedTuple):
    """What is at a place."""

    exists: bool
    is_folder: bool


class Target(NamedTuple):
    """The folder to unpack into, and the name that the source gets there; empty: its contents go in as they are."""

    folder: str
    name: str


def split(word: str) -> tuple[str, str]:
    """``container:path`` as its two parts; a local path has an empty container."""
    container, colon, path = word.partition(":")
    if not colon or not container or "/" in container or container.startswith((".", "\\")) or _is_drive(word):
        return "", word
    return container, path


def _is_drive(word: str) -> bool:
    return len(word) > 2 and word[1] == ":" and word[0].isalpha() and word[2] == "\\"


def wants_contents(source: str) -> bool:
    """Does the source name what is in a folder, not the folder?"""
    return source.endswith("/.") or source == "."


def wants_folder(path: str) -> bool:
    """Does the path insist on a folder?"""
    return path.endswith(("/", "/.")) or path == "."


def target(source: str, source_is_folder: bool, destination: str, found: Kind) -> Target:
    """Where it goes; raises what Docker refuses."""
    if wants_folder(source) and not source_is_folder:
        raise Invalid("not a directory")
    plain = posixpath.normpath(destination)
    if found.exists and found.is_folder:
        return Target(destination, "" if wants_contents(source) else base(source))
    if found.exists:
        if source_is_folder:
            raise Invalid("cannot copy directory")
        if wants_folder(destination):
            raise Invalid("not a directory")
    elif not source_is_folder and wants_folder(destination):
        raise NotFound("no such directory")
    return Target(posixpath.dirname(plain) or ("/" if plain.startswith("/") else "."), posixpath.basename(plain))


def base(source: str) -> str:
    """The name that a source brings along."""
    return posixpath.basename(posixpath.normpath(source)) or "/"


def rebase(member: str, source_base: str, name: str) -> str:
    """The path of an archive's member below the target's folder."""
    first, slash, rest = member.lstrip("/").removeprefix("./").partition("/")
    if source_base in ("/", ".", ".."):
        # the root of a container has no name of its own in the archive
        rest, slash = (member.lstrip("/").removeprefix("./"), "/") if first != "." else ("", "")
    inner = rest if slash else ""
    return f"{name}/{inner}".strip("/") if name else inner.strip("/")
