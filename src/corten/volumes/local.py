"""The driver ``local``: directories of the data root, mounted over where a volume has options.

Owns: the directories, the mounts, the trash.  All functions block; the service calls them in threads.  Deletion never
follows a link out of the volume and never crosses into something mounted: a mounted volume is unmounted first.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from corten.errors import Conflict, Internal
from corten.kernel import flags, mounts
from corten.volumes.model import Volume
from corten.volumes.options import PER_MOUNT, MountRequest

DATA = "_data"
_TRASH = ".trash"
_MNT_DETACH = 2
_MOST_STACKED = 40  # mounts over mounts that a removal takes away at most


class LocalDriver:
    """Volumes below one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._trash = root / _TRASH

    def prepare(self) -> None:
        """Make the directories of the driver itself."""
        self._root.mkdir(mode=0o701, parents=True, exist_ok=True)
        self._trash.mkdir(mode=0o700, exist_ok=True)

    def mountpoint(self, name: str) -> Path:
        return self._root / name / DATA

    def found(self) -> Iterator[tuple[str, float]]:
        """Name and age of every directory that holds a volume's data."""
        for entry in os.scandir(self._root):
            if entry.is_dir(follow_symlinks=False) and (self._root / entry.name / DATA).is_dir():
                yield entry.name, entry.stat(follow_symlinks=False).st_mtime

    def make(self, name: str) -> None:
        """Make a volume's directory; keeps what is there."""
        outer = self._root / name
        outer.mkdir(mode=0o701, exist_ok=True)
        (outer / DATA).mkdir(mode=0o755, exist_ok=True)

    def mount(self, volume: Volume) -> None:
        """Mount a volume that has options; once is enough."""
        request = MountRequest.parse(volume.options)
        self.make(volume.name)
        if request is None or self._is_mounted(volume.mountpoint):
            return
        request = request.resolved()
        kind = "" if request.is_bind else request.type
        target = str(volume.mountpoint)
        try:
            mounts.mount(request.device, target, kind, request.flags, request.data)
            if request.is_bind and request.flags & PER_MOUNT:
                mounts.mount("", target, "", request.flags | flags.MS_REMOUNT, "")
        except OSError as error:
            words = f"failed to mount local volume: mount {request.device}:{target}"
            shown = f", data: {request.data}" if request.data else ""
            raise Internal(f"{words}{shown}: {(error.strerror or str(error)).lower()}{_why(error, kind)}") from error

    def unmount(self, volume: Volume) -> None:
        """Unmount; what is still busy is detached and goes when its last user goes."""
        for _ in range(_MOST_STACKED):
            if not self._is_mounted(volume.mountpoint):
                return
            try:
                mounts.umount2(str(volume.mountpoint))
            except OSError as error:
                if error.errno != errno.EBUSY:
                    return
                mounts.umount2(str(volume.mountpoint), _MNT_DETACH)

    def _is_mounted(self, path: Path) -> bool:
        # A bind of the same file system has its parent's device number: only the table of mounts knows.
        target = os.path.realpath(path)
        return any(each.target == target for each in mounts.mountinfo())

    def discard(self, volume: Volume) -> Path | None:
        """Move a volume out of sight; returns what is to be deleted."""
        self.unmount(volume)
        if self._is_mounted(volume.mountpoint):
            raise Conflict(f"remove {volume.name}: the volume is still mounted at {volume.mountpoint}")
        self._trash.mkdir(mode=0o700, exist_ok=True)
        target = self._trash / secrets.token_hex(16)
        try:
            os.rename(self._root / volume.name, target)
        except FileNotFoundError:
            return None
        return target

    def rubbish(self) -> list[Path]:
        return list(self._trash.iterdir()) if self._trash.is_dir() else []

    def usage(self, name: str) -> int:
        """The bytes of all files, each inode once; what vanishes meanwhile does not count."""
        total = 0
        seen: set[tuple[int, int]] = set()
        for directory, _, names in os.walk(self.mountpoint(name)):
            for each in names:
                with contextlib.suppress(OSError):
                    stat = os.lstat(os.path.join(directory, each))
                    if stat.st_nlink == 1 or (stat.st_dev, stat.st_ino) not in seen:
                        seen.add((stat.st_dev, stat.st_ino))
                        total += stat.st_size
        return total


def _why(error: OSError, kind: str) -> str:
    if error.errno != errno.ENODEV or not kind:
        return ""
    known = {line.split()[-1] for line in Path("/proc/filesystems").read_text().splitlines()}
    return "" if kind in known else f" (this host's kernel has no file system {kind})"


def delete(path: Path) -> None:
    """Delete a tree, links as links; what cannot be deleted now is tried again at the next start."""

    def ignore(_function: Callable[..., Any], _path: str, _error: object) -> None:
        return None

    shutil.rmtree(path, onerror=ignore)
