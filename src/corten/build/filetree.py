"""Walking trees of files: which entries take part, in a fixed order, and the digest of what they are.

Everything beneath a descriptor is opened with O_NOFOLLOW, name by name, so nothing leads out.  Times are no part of a
digest.  Knows nothing of COPY; transfer.py writes what this reads.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from corten.build.dockerfile.ignore import Matcher, ParentMatches
from corten.errors import Invalid

READ_SIZE = 1 << 20
MAX_DEPTH = 400
"""Directories in one another; each costs a descriptor and a frame while a walk is inside."""


@dataclass(frozen=True, slots=True)
class Found:
    """An entry: its path from the start of the walk, its lstat, and how to open it while the walk stands there."""

    path: str
    status: os.stat_result
    parent_fd: int
    name: str

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)


@dataclass(frozen=True, slots=True)
class Filter:
    """A matcher, and the path that the walk's start has in the matcher's eyes ("" for the root)."""

    matcher: Matcher
    prefix: str = ""

    def start(self) -> ParentMatches:
        state: ParentMatches = ()
        parts = self.prefix.split("/") if self.prefix else []
        for depth in range(1, len(parts) + 1):
            _, state = self.matcher.step("/".join(parts[:depth]), state)
        return state

    def full(self, path: str) -> str:
        return f"{self.prefix}/{path}" if self.prefix else path


Filters = Sequence[Filter]


def walk(directory_fd: int, filters: Filters = ()) -> Iterator[Found]:
    """Everything beneath a directory, names in byte order, parents first, without what the filters leave out.

    A directory that is left out still appears when something inside it is brought back.
    """
    active = tuple(each for each in filters if each.matcher)
    return _walk(directory_fd, "", active, tuple(each.start() for each in active), [])


def _walk(
    fd: int, prefix: str, filters: Filters, states: tuple[ParentMatches, ...], owed: list[Found]
) -> Iterator[Found]:
    """``owed`` are directories above that were left out, to be shown when something beneath them is not."""
    for name in sorted(os.listdir(fd), key=os.fsencode):
        path = prefix + name
        left_out, below = False, states
        if filters:
            verdicts = [each.matcher.step(each.full(path), state) for each, state in zip(filters, states, strict=True)]
            left_out = any(verdict for verdict, _ in verdicts)
            below = tuple(state for _, state in verdicts)
        found = Found(path, os.stat(name, dir_fd=fd, follow_symlinks=False), fd, name)
        if left_out:
            if not found.is_directory or not _may_return(filters, path):
                continue
            owed.append(found)
        else:
            yield from owed
            owed.clear()
            yield found
        if found.is_directory:
            if path.count("/") >= MAX_DEPTH:
                raise Invalid(f"directories are nested more than {MAX_DEPTH} deep: {path[:80]}...")
            child_fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            try:
                yield from _walk(child_fd, f"{path}/", filters, below, owed)
            finally:
                os.close(child_fd)
        if left_out and owed and owed[-1] is found:
            owed.pop()


def _may_return(filters: Filters, path: str) -> bool:
    return any(each.matcher.has_exceptions and each.matcher.may_bring_back_below(each.full(path)) for each in filters)


def open_file(found: Found) -> int:
    return os.open(found.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=found.parent_fd)


def digest_of(found: Iterator[Found], *, owners: bool) -> str:
    """The digest of a walk: names, kinds, modes, contents, link targets, extended attributes; owners where asked."""
    total = hashlib.sha256()
    for entry in found:
        total.update(_line(entry, owners))
    return total.hexdigest()


def _line(entry: Found, owners: bool) -> bytes:
    status = entry.status
    kind = stat.S_IFMT(status.st_mode)
    fields = [os.fsencode(entry.path), b"%o" % status.st_mode]
    if owners:
        fields.append(b"%d:%d" % (status.st_uid, status.st_gid))
    if kind == stat.S_IFREG:
        fields.append(_content(entry))
    elif kind == stat.S_IFLNK:
        fields.append(os.fsencode(os.readlink(entry.name, dir_fd=entry.parent_fd)))
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        fields.append(b"%d" % status.st_rdev)
    return b"\0".join(fields) + b"\n"


def _content(entry: Found) -> bytes:
    fd = open_file(entry)
    try:
        digest = hashlib.sha256()
        left = entry.status.st_size
        while data := os.read(fd, min(READ_SIZE, left + 1)):
            digest.update(data)
            left = max(0, left - len(data))
        for name, value in attributes(fd):
            digest.update(b"\0" + os.fsencode(name) + b"=" + value)
        return digest.hexdigest().encode()
    finally:
        os.close(fd)


def attributes(fd: int) -> list[tuple[str, bytes]]:
    """The extended attributes that travel with a copy."""
    try:
        names = os.listxattr(fd)
    except OSError:
        return []
    kept = sorted(name for name in names if name == "security.capability" or name.startswith("user."))
    return [(name, os.getxattr(fd, name)) for name in kept]
