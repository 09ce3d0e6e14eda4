"""What all drivers have in common: the life of records and their directories.

Owns: the parts of snapshots/base.py that do not depend on what a directory holds.  Drivers: overlay.py, copy.py,
btrfs.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from corten.store.db import Database
from corten.store.layout import Layout
from corten.store.snapshots.base import Info, Kind, Staged, Usage
from corten.store.snapshots.records import Records


class Driver:
    """Half a driver; see snapshots/base.py for every method."""

    name: ClassVar[str]
    layered: ClassVar[bool]
    keeps_tars: ClassVar[bool] = False

    def __init__(self, database: Database, layout: Layout) -> None:
        self._records = Records(database, layout, self.name)

    def remove(self, key: str) -> None:
        """Forget it."""
        self._discard(self._records.forget(key))

    def stat(self, key: str) -> Info:
        """What is recorded."""
        return self._records.get(key)[1]

    def exists(self, key: str) -> bool:
        """Is there one?"""
        return self._records.find(key) is not None

    def note_usage(self, key: str, usage: Usage) -> None:
        """Kept until it is committed."""
        self._records.note_usage(key, usage)

    def walk(self) -> Iterator[Info]:
        """Every snapshot, parents before children."""
        return self._records.walk()

    def land(self, staged: Staged, name: str, parent: str | None, usage: Usage | None = None) -> None:
        """Make a staged directory the committed ``name``."""
        if not self._records.add(name, staged.id, Kind.COMMITTED, parent, False, usage):
            self._discard(staged.id)

    def unstage(self, staged: Staged) -> None:
        """Drop a staged directory."""
        self._discard(staged.id)

    def sweep(self) -> int:
        """Remove directories that no record names."""
        strays = [number for number in self._records.strays() if not self._is_spare(number)]
        for number in strays:
            self._discard(number)
        return len(strays)

    def tar(self, key: str) -> Path | None:
        """None: layers are directories."""
        self._records.get(key)
        return None

    def close(self) -> None:
        """Nothing is held."""

    def _discard(self, number: int) -> None:
        """Delete a directory."""
        self._records.discard(number)

    def _is_spare(self, number: int) -> bool:
        """Was this directory made before anybody asked?  Some drivers do so."""
        return False
