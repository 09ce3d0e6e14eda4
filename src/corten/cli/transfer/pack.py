"""A local file or folder as a tar stream for a container: numeric owners kept, names changed to the target's."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator

from corten.cli.buildcontext import archive, ignore


def stream(source: str, name: str, *, follow: bool = False) -> Iterator[bytes]:
    """The archive in blocks; a folder's members lie below ``name``, or at the top where that is empty."""
    return archive.blocks(_members(source.rstrip("/") or "/", name, follow=follow))


def _members(source: str, name: str, *, follow: bool) -> Iterator[bytes]:
    info = os.stat(source) if follow else os.lstat(source)
    if not stat.S_ISDIR(info.st_mode):
        yield from archive.contents(source, _member(name, info), info)
        return
    if name:
        yield from archive.contents(source, _member(name, info), info)
    for path, inner in archive.walk(source, ignore.Matcher(())):
        inside = f"{name}/{path}" if name else path
        yield from archive.contents(os.path.join(source, path), _member(inside, inner), inner)


def _member(name: str, info: os.stat_result) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    if os.name == "posix":
        member.uid, member.gid = info.st_uid, info.st_gid
    return member
