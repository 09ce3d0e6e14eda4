"""What a directory of changes changes, for people: ``docker diff``.

Owns: A, C and D as Docker prints them.  Looks a path up in the layers below through settle.look_up().
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from corten.store.layers.settle import look_up
from corten.store.layers.target import is_opaque, is_whiteout

ADDED, CHANGED, DELETED = "A", "C", "D"


class Change(NamedTuple):
    """One path that differs."""

    kind: str
    path: str


def changes(upper: Path, lowers: Sequence[Path]) -> list[Change]:
    """The changes in ``upper`` over ``lowers`` (nearest first), in order of their paths."""
    found: dict[str, str] = {}
    pending = [""]
    while pending:
        above = pending.pop()
        for name in os.listdir(upper / above):
            path = f"{above}/{name}" if above else name
            status = os.lstat(upper / path)
            below = look_up(lowers, path)
            if is_whiteout(status):
                if below is not None:
                    _mark(found, path, DELETED)
                continue
            if below is None:
                _mark(found, path, ADDED)
            elif _differs(status, os.lstat(below)):
                _mark(found, path, CHANGED)
            if stat.S_ISDIR(status.st_mode):
                pending.append(path)
                if is_opaque(os.fspath(upper / path)):
                    _hidden(found, upper, lowers, path)
    return [Change(found[path], "/" + path) for path in sorted(found)]


def _differs(status: os.stat_result, below: os.stat_result) -> bool:
    """A file that was copied up counts as changed; a directory only if it is not merely the way to something."""
    if stat.S_ISDIR(status.st_mode) and stat.S_ISDIR(below.st_mode):
        return (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns // 1_000_000_000) != (
            below.st_mode,
            below.st_uid,
            below.st_gid,
            below.st_mtime_ns // 1_000_000_000,
        )
    return True


def _mark(found: dict[str, str], path: str, kind: str) -> None:
    """Note a change; a directory in which something came or went is changed itself."""
    found[path] = kind
    above = path.rpartition("/")[0]
    if above and kind != CHANGED:
        found.setdefault(above, CHANGED)


def _hidden(found: dict[str, str], upper: Path, lowers: Sequence[Path], path: str) -> None:
    """The names that an opaque directory hides."""
    names: set[str] = set()
    for lower in lowers:
        directory = lower / path
        if directory.is_dir() and not directory.is_symlink():
            names.update(os.listdir(directory))
    for name in names:
        child = f"{path}/{name}"
        if look_up(lowers, child) is not None and not os.path.lexists(upper / child):
            _mark(found, child, DELETED)
