"""What a layer needs from the layers below it, once they are there.

Some tars leave out the directories above their entries: overlay then has to show the lower directory's owner and mode.
Some hold hard links to files of lower layers: the file has to be copied up first.  Both are found when a layer is
unpacked (apply.py) and done here.  Owns: looking a path up through a stack of overlay directories.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from corten.errors import Invalid
from corten.store.layers.target import Target, inside, is_opaque, is_whiteout, set_xattr


def settle(tree: Path, lowers: Sequence[Path], implied: Iterable[str], links: Iterable[tuple[str, str]]) -> None:
    """Dress the ``implied`` directories of ``tree`` as ``lowers`` (nearest first) have them; make the ``links``."""
    with Target(tree) as target:
        for path in implied:
            _dress(target, lowers, path)
        for name, wanted in links:
            _link(target, lowers, inside(os.fsencode(name), "name"), inside(os.fsencode(wanted), "hard link"))
            for path in target.implied:
                _dress(target, lowers, path)
            target.implied.clear()


def look_up(lowers: Sequence[Path], path: str) -> Path | None:
    """Where overlay would find ``path`` in the stack, nearest first; None where nothing, or a whiteout, is.

    No symbolic link is followed on the way: overlay merges directories, and nothing else, by name.
    """
    parts = path.split("/")
    for lower in lowers:
        at = os.fspath(lower)
        hidden = False
        for position, part in enumerate(parts):
            at = f"{at}/{part}"
            try:
                found = os.lstat(at)
            except (FileNotFoundError, NotADirectoryError):
                break
            if is_whiteout(found):
                return None
            if position == len(parts) - 1:
                return Path(at)
            if not stat.S_ISDIR(found.st_mode):
                return None
            hidden = hidden or is_opaque(at)
        if hidden:
            return None
    return None


def _dress(target: Target, lowers: Sequence[Path], path: str) -> None:
    below = look_up(lowers, path)
    if below is None:
        return
    like = os.lstat(below)
    if not stat.S_ISDIR(like.st_mode):
        return
    fd = target.directory(path, make=False)
    os.fchown(fd, like.st_uid, like.st_gid)
    os.fchmod(fd, stat.S_IMODE(like.st_mode))
    _copy_xattrs(below, fd)
    os.utime(fd, ns=(like.st_mtime_ns, like.st_mtime_ns))


def _link(target: Target, lowers: Sequence[Path], name: str, wanted: str) -> None:
    below = look_up(lowers, wanted)
    if below is None or stat.S_ISDIR(os.lstat(below).st_mode):
        raise Invalid(f"invalid tar entry: {name!r} is a hard link to {wanted!r}, which does not exist")
    above, _, last = wanted.rpartition("/")
    source = os.dup(target.directory(above))
    try:
        try:
            os.lstat(last, dir_fd=source)
        except FileNotFoundError:
            _copy_up(below, source, last)
        parent_path, _, base = name.rpartition("/")
        parent = target.directory(parent_path)
        os.link(last, base, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(source)


def _copy_up(below: Path, parent: int, name: str) -> None:
    like = os.lstat(below)
    if stat.S_ISLNK(like.st_mode):
        os.symlink(os.readlink(below), name, dir_fd=parent)
    elif not stat.S_ISREG(like.st_mode):
        os.mknod(name, like.st_mode, like.st_rdev, dir_fd=parent)
    else:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent)
        with open(fd, "wb") as out, open(below, "rb") as data:
            shutil.copyfileobj(data, out, 1 << 20)
            out.flush()
            os.fchown(fd, like.st_uid, like.st_gid)
            os.fchmod(fd, stat.S_IMODE(like.st_mode))
            _copy_xattrs(below, fd)
    if not stat.S_ISREG(like.st_mode):
        os.chown(name, like.st_uid, like.st_gid, dir_fd=parent, follow_symlinks=False)
    os.utime(name, ns=(like.st_mtime_ns, like.st_mtime_ns), dir_fd=parent, follow_symlinks=False)


def _copy_xattrs(below: Path, fd: int) -> None:
    for name in os.listxattr(below, follow_symlinks=False):
        set_xattr(fd, name, os.getxattr(below, name, follow_symlinks=False))
