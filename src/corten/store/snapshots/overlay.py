"""The overlay driver: a directory of changes a snapshot, stacked by the kernel's overlayfs.

    snapshots/overlay/<n>/fs      what this snapshot changes: an overlay upper (whiteouts are character devices 0/0)
    snapshots/overlay/<n>/work    overlay's work directory, active snapshots only

The mount options switch off what would make an upper depend on its lower (redirect_dir, metacopy) or on the file
system's UUIDs (index), because an upper becomes a layer of its own.  Mounts are made by the caller, in the container's
own mount namespace.  Records and crash order: records.py.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from corten.errors import Conflict
from corten.kernel.ext4 import is_good_ground
from corten.store.db import Database
from corten.store.layout import Layout
from corten.store.snapshots.base import Kind, Mount, Staged, Usage
from corten.store.snapshots.driver import Driver
from corten.store.snapshots.spares import Spares
from corten.store.tree import count_tree

OPTIONS = ("index=off", "redirect_dir=off", "metacopy=off")


class OverlaySnapshots(Driver):
    """See snapshots/base.py."""

    name = "overlay"
    layered = True

    def __init__(self, database: Database, layout: Layout) -> None:
        super().__init__(database, layout)
        self._spares = Spares(self._records.new_id, self._lay, self._is_good)

    def prepare(self, key: str, parent: str | None, *, volatile: bool = False) -> None:
        """Make an active snapshot on ``parent``."""
        below = self._records.require_parent(parent)
        number = self._make(below)
        if not self._records.add(key, number, Kind.ACTIVE, parent, volatile, None):
            self._discard(number)
            raise Conflict(f"snapshot {key}: already exists")

    def mounts(self, key: str) -> list[Mount]:
        """One overlay, or one bind where there is nothing to stack."""
        number, info = self._records.get(key)
        lowers = self._records.ancestors(key)
        if info.kind is Kind.COMMITTED:
            lowers = [number, *lowers]
            if len(lowers) == 1:
                return [Mount("bind", str(self._fs(number)), ("rbind", "ro"))]
            return [Mount("overlay", "overlay", ("ro", self._lowerdir(lowers), *OPTIONS))]
        if not lowers:
            return [Mount("bind", str(self._fs(number)), ("rbind", "rw"))]
        work = self._records.directory(number) / "work"
        options = [self._lowerdir(lowers), f"upperdir={self._fs(number)}", f"workdir={work}", *OPTIONS]
        if info.volatile:
            # Overlay refuses to mount again what was volatile before, unless this mark is taken away.
            shutil.rmtree(work / "work" / "incompat", ignore_errors=True)
            options.append("volatile")
        return [Mount("overlay", "overlay", tuple(options))]

    def commit(self, key: str, name: str, usage: Usage | None = None) -> None:
        """Make the active ``key`` the committed ``name``."""
        number, _ = self._records.get(key)
        doubled = self._records.commit(key, name, usage)
        if doubled is not None:
            self._discard(doubled)
        else:
            shutil.rmtree(self._records.directory(number) / "work", ignore_errors=True)

    def usage(self, key: str) -> Usage:
        """Of its own directory."""
        return self._records.usage(key, lambda: Usage(*count_tree(self.upper(key))))

    def upper(self, key: str) -> Path:
        """Its own directory."""
        return self.writable(key)

    def writable(self, key: str) -> Path:
        """Its own directory."""
        return self._fs(self._records.get(key)[0])

    def lowers(self, key: str) -> list[Path]:
        """Its ancestors' directories, nearest first."""
        return [self._fs(number) for number in self._records.ancestors(key)]

    def stage(self, parent: str | None) -> Staged:
        """An empty directory; the parent may be missing still."""
        found = self._records.find(parent) if parent else None
        number = self._make(found[0] if found else None)
        numbers = [found[0], *self._records.ancestors(parent)] if found and parent else []
        return Staged(number, self._fs(number), tuple(self._fs(item) for item in numbers))

    def _fs(self, number: int) -> Path:
        return self._records.directory(number) / "fs"

    def _lowerdir(self, numbers: list[int]) -> str:
        return "lowerdir=" + ":".join(str(self._fs(number)) for number in numbers)

    def _make(self, below: int | None) -> int:
        """A new directory; its root looks like the root of what it lies on, for overlay shows the upper's."""
        number = self._spares.take()
        if below is not None:
            fs, like = self._fs(number), os.stat(self._fs(below))
            if like.st_uid or like.st_gid:
                os.chown(fs, like.st_uid, like.st_gid)
            if like.st_mode & 0o7777 != 0o755:
                os.chmod(fs, like.st_mode & 0o7777)
        return number

    def _is_spare(self, number: int) -> bool:
        return number in self._spares

    def _lay(self, number: int) -> None:
        root = self._records.directory(number)
        os.mkdir(root, 0o710)
        os.mkdir(root / "work", 0o700)
        os.mkdir(root / "fs", 0o755)
        os.chmod(root / "fs", 0o755)

    def _is_good(self, number: int) -> bool:
        return is_good_ground(self._records.directory(number))
