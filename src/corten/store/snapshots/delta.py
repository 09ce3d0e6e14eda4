"""Two whole trees -> what the second changes, in overlay's form.

Owns: make_delta(), for drivers that have no layers.  Files are the same when their attributes and times are: copying
keeps both, and every write changes one.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from corten.store.tree import copy_entry


def make_delta(below: Path, above: Path, delta: Path) -> None:
    """Fill the empty directory ``delta`` with what turns ``below`` into ``above``; all are on one file system."""
    _Delta().compare(os.fspath(below), os.fspath(above), os.fspath(delta))


class _Delta:
    def __init__(self) -> None:
        # Names of one file in the delta, where its files cannot be links into the tree.
        self._copies: dict[tuple[int, int], str] = {}

    def compare(self, below: str, above: str, delta: str) -> bool:
        """Compare two directories; did anything in them differ?  ``delta`` exists."""
        before, after = set(os.listdir(below)), set(os.listdir(above))
        differs = False
        for name in sorted(before - after):
            os.mknod(f"{delta}/{name}", stat.S_IFCHR, 0)
            differs = True
        for name in sorted(after):
            old, new, out = f"{below}/{name}", f"{above}/{name}", f"{delta}/{name}"
            status = os.lstat(new)
            both = name in before and stat.S_ISDIR(status.st_mode) and stat.S_ISDIR(os.lstat(old).st_mode)
            if both:
                os.mkdir(out, 0o700)
                if self.compare(old, new, out) or not _same(old, new):
                    _dress(new, out, status)
                    differs = True
                else:
                    os.rmdir(out)
            elif name not in before or not _same(old, new):
                self._take(new, out, status)
                differs = True
        return differs

    def _take(self, new: str, out: str, status: os.stat_result) -> None:
        """Put all of ``new`` into the delta."""
        if not stat.S_ISDIR(status.st_mode):
            self._take_file(new, out, status)
            return
        os.mkdir(out, 0o700)
        for name in sorted(os.listdir(new)):
            self._take(f"{new}/{name}", f"{out}/{name}", os.lstat(f"{new}/{name}"))
        _dress(new, out, status)

    def _take_file(self, new: str, out: str, status: os.stat_result) -> None:
        first = self._copies.setdefault((status.st_dev, status.st_ino), new)
        try:
            os.link(first, out, follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # Subvolumes of btrfs: a copy that shares its blocks.
            copy_entry(new, out, status)
            self._copies[status.st_dev, status.st_ino] = out


def _same(old: str, new: str) -> bool:
    first, second = os.lstat(old), os.lstat(new)
    names = ("st_mode", "st_uid", "st_gid", "st_rdev", "st_mtime_ns")
    if any(getattr(first, name) != getattr(second, name) for name in names):
        return False
    if not stat.S_ISDIR(first.st_mode) and first.st_size != second.st_size:
        return False
    return _xattrs(old) == _xattrs(new)


def _xattrs(path: str) -> dict[str, bytes]:
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)}


def _dress(new: str, out: str, status: os.stat_result) -> None:
    os.chown(out, status.st_uid, status.st_gid)
    os.chmod(out, stat.S_IMODE(status.st_mode))
    for name, value in _xattrs(new).items():
        os.setxattr(out, name, value)
    os.utime(out, ns=(status.st_mtime_ns, status.st_mtime_ns))
