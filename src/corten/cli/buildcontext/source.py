"""The words after ``build`` as a context: a directory, standard input, or an address for the daemon to fetch.

Owns: where the Dockerfile is (``-f`` may lie outside of the context), which ignore file counts, what standard input
holds.  The result is a stream of bytes and two query parameters.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from corten.cli import files
from corten.cli.buildcontext import archive, ignore
from corten.errors import Invalid, NotFound

DEFAULT = "Dockerfile"
_MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")


class Source(NamedTuple):
    """What the daemon is sent."""

    body: Iterable[bytes]
    dockerfile: str  # its path in the context
    remote: str = ""  # or the address that the daemon fetches


def find(context: str, dockerfile: str) -> Source:
    """The source that the words mean; raises Invalid or NotFound."""
    if context == "-":
        if dockerfile == "-":
            raise Invalid("invalid argument: can't use stdin for both build context and dockerfile")
        return _stdin(dockerfile)
    if is_remote(context):
        if dockerfile == "-":
            raise Invalid("a Dockerfile from stdin needs a local context")
        return Source((), dockerfile, context)
    return _directory(context, dockerfile)


def is_remote(context: str) -> bool:
    """Is it an address rather than a directory?"""
    if os.path.isdir(context):
        return False
    return context.startswith(("http://", "https://", "git://", "git@", "ssh://", "github.com/"))


def _stdin(dockerfile: str) -> Source:
    source = sys.stdin.buffer
    start = source.read(512)
    if start.startswith(_MAGIC) or start[257:262] == b"ustar":
        return Source(_continued(start, source), dockerfile)
    if dockerfile:
        raise Invalid("ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles")
    content = start + source.read()
    if not content:
        raise Invalid("failed to build: standard input is empty")
    return Source((archive.of_files({DEFAULT: content}),), DEFAULT)


def _continued(start: bytes, source: BinaryIO) -> Iterator[bytes]:
    yield start
    yield from files.read_blocks(source)


def _directory(context: str, dockerfile: str) -> Source:
    if not os.path.isdir(context):
        what = "is not a directory" if os.path.exists(context) else "not found"
        raise NotFound(f'unable to prepare context: path "{context}" {what}')
    root = os.path.realpath(context)
    extra: dict[str, bytes] = {}
    ignores = [os.path.join(root, ".dockerignore")]
    if dockerfile == "-":
        name = f".dockerfile.{secrets.token_hex(10)}"
        extra[name] = sys.stdin.buffer.read()
    else:
        path = _dockerfile_path(root, dockerfile)
        ignores.insert(0, f"{path}.dockerignore")
        inside = os.path.relpath(os.path.realpath(path), root)
        if inside == ".." or inside.startswith(f"..{os.sep}") or os.path.isabs(inside):
            name = f".dockerfile.{secrets.token_hex(10)}"
            with open(path, "rb") as file:
                extra[name] = file.read()
        else:
            name = os.path.relpath(path, root) if _is_below(path, root) else inside
            name = name.replace(os.sep, "/")
    patterns = _patterns(ignores)
    if patterns:
        # The daemon needs these even where they are ignored; it drops them before the first COPY.
        patterns += ["!.dockerignore", f"!{name}", f"!{name}.dockerignore"]
    return Source(archive.stream(root, ignore.Matcher(patterns), extra), name)


def _is_below(path: str, root: str) -> bool:
    return os.path.normpath(path).startswith(os.path.join(root, ""))


def _dockerfile_path(root: str, dockerfile: str) -> str:
    if not dockerfile:
        path = os.path.join(root, DEFAULT)
        # docker: the lower-case name is taken too
        lower = os.path.join(root, DEFAULT.lower())
        path = lower if not os.path.lexists(path) and os.path.lexists(lower) else path
    else:
        path = os.path.abspath(dockerfile)
    if not os.path.exists(path):
        why = f"unable to evaluate symlinks in Dockerfile path: lstat {path}: no such file or directory"
        raise NotFound(f"unable to prepare context: {why}")
    return path


def _patterns(candidates: list[str]) -> list[str]:
    for path in candidates:
        try:
            with open(path, encoding="utf-8") as file:
                return ignore.read(file.read())
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"error reading {path}: {error}") from error
    return []
