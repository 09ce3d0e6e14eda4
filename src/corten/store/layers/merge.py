"""One layer's directory onto another's, as overlayfs would show the two: for squashing.

Owns: what whiteouts and opaque directories of the upper one do to the lower one.  Paths are joined name by name under
directories of the store, links are never followed.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from corten.store.layers.target import OPAQUE, is_opaque, is_whiteout

_Links = dict[tuple[int, int], str]


def merge(layer: Path, target: Path) -> None:
    """Lay ``layer`` onto ``target``, which keeps what it needs to hide of the layers below both."""
    links: _Links = {}
    _directory(str(layer), str(target), links)


def drop_whiteouts(target: Path, exists: Callable[[str], bool]) -> None:
    """Remove the whiteouts that hide nothing; ``exists`` tells whether the layers below have a path."""
    for folder, _, names in os.walk(target):
        for name in names:
            path = os.path.join(folder, name)
            if is_whiteout(os.lstat(path)) and not exists(os.path.relpath(path, target)):
                os.unlink(path)


def _directory(source: str, target: str, links: _Links) -> None:
    for entry in sorted(os.scandir(source), key=lambda each: each.name):
        status = entry.stat(follow_symlinks=False)
        place = os.path.join(target, entry.name)
        if stat.S_ISDIR(status.st_mode):
            _make(entry.path, place)
            _directory(entry.path, place, links)
            _settle(entry.path, place, status)
            continue
        _remove(place)
        first = links.get((status.st_dev, status.st_ino)) if status.st_nlink > 1 else None
        if first is not None:
            os.link(first, place, follow_symlinks=False)
            continue
        _copy(entry.path, place, status)
        if status.st_nlink > 1:
            links[status.st_dev, status.st_ino] = place


def _make(source: str, place: str) -> None:
    """The directory is there; opaque if the layer's is, or if what it takes the place of hid what is below."""
    hides = is_opaque(source)
    try:
        status = os.lstat(place)
    except FileNotFoundError:
        status = None
    if status is not None and (hides or not stat.S_ISDIR(status.st_mode)):
        hides = True
        _remove(place)
        status = None
    if status is None:
        os.mkdir(place, 0o700)
    if hides:
        os.setxattr(place, OPAQUE, b"y", follow_symlinks=False)


def _remove(place: str) -> None:
    try:
        status = os.lstat(place)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):
        shutil.rmtree(place)
    else:
        os.unlink(place)


def _copy(source: str, place: str, status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        with open(source, "rb") as reader, open(place, "xb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
    elif stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(source), place)
    elif stat.S_ISSOCK(status.st_mode):
        return
    else:
        os.mknod(place, status.st_mode, status.st_rdev)
    _settle(source, place, status)


def _settle(source: str, place: str, status: os.stat_result) -> None:
    """Owner, mode, attributes and times of the original."""
    os.chown(place, status.st_uid, status.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(place, stat.S_IMODE(status.st_mode))
    if not is_whiteout(status):
        for name in os.listxattr(source, follow_symlinks=False):
            if not name.startswith("trusted.overlay."):
                os.setxattr(place, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False)
    os.utime(place, ns=(status.st_mtime_ns, status.st_mtime_ns), follow_symlinks=False)
