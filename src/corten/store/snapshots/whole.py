"""Drivers without layers: every snapshot is a whole tree, cloned from its parent.

    snapshots/<driver>/<n>/fs       the tree
    snapshots/<driver>/<n>/delta    what it changes, in overlay's form, made when asked for; files are links into fs

Owns: everything but the cloning of a tree, which copy.py and btrfs.py do.  Slow to prepare, simple to mount: works on
any file system.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from corten.errors import Conflict
from corten.store.snapshots.base import Kind, Mount, Staged, Usage
from corten.store.snapshots.delta import make_delta
from corten.store.snapshots.driver import Driver
from corten.store.tree import count_tree


class WholeSnapshots(Driver):
    """See snapshots/base.py."""

    layered = False

    def prepare(self, key: str, parent: str | None, *, volatile: bool = False) -> None:
        """Make an active snapshot, a clone of ``parent``."""
        number = self._make(self._records.require_parent(parent))
        if not self._records.add(key, number, Kind.ACTIVE, parent, volatile, None):
            self._records.discard(number)
            raise Conflict(f"snapshot {key}: already exists")

    def mounts(self, key: str) -> list[Mount]:
        """One bind."""
        number, info = self._records.get(key)
        mode = "rw" if info.kind is Kind.ACTIVE else "ro"
        return [Mount("bind", str(self._fs(number)), ("rbind", mode))]

    def commit(self, key: str, name: str, usage: Usage | None = None) -> None:
        """Make the active ``key`` the committed ``name``."""
        doubled = self._records.commit(key, name, usage)
        if doubled is not None:
            self._records.discard(doubled)

    def usage(self, key: str) -> Usage:
        """Of what it changes."""
        return self._records.usage(key, lambda: Usage(*count_tree(self.upper(key))))

    def upper(self, key: str) -> Path:
        """What it changes, found by comparing; of an active one found anew at every call."""
        number, info = self._records.get(key)
        below = self._records.ancestors(key)[:1]
        if not below:
            return self._fs(number)
        delta = self._records.directory(number) / "delta"
        if info.kind is Kind.COMMITTED and delta.exists():
            return delta
        staged = self._records.directory(number) / ".delta"
        for stale in (staged, delta):
            shutil.rmtree(stale, ignore_errors=True)
        staged.mkdir(mode=0o755)
        make_delta(self._fs(below[0]), self._fs(number), staged)
        os.rename(staged, delta)
        return delta

    def writable(self, key: str) -> Path:
        """Its own directory."""
        return self._fs(self._records.get(key)[0])

    def lowers(self, key: str) -> list[Path]:
        """The parent's whole tree."""
        return [self._fs(number) for number in self._records.ancestors(key)[:1]]

    def stage(self, parent: str | None) -> Staged:
        """A clone of ``parent``."""
        below = self._records.require_parent(parent)
        number = self._make(below)
        return Staged(number, self._fs(number), () if below is None else (self._fs(below),))

    def _fs(self, number: int) -> Path:
        return self._records.directory(number) / "fs"

    def _make(self, below: int | None) -> int:
        number = self._records.new_id()
        os.mkdir(self._records.directory(number), 0o710)
        self._clone(None if below is None else self._fs(below), self._fs(number))
        return number

    def _clone(self, source: Path | None, target: Path) -> None:
        """Make ``target``, empty or like ``source``."""
        raise NotImplementedError
