"""What the database knows of snapshots, and the directories that go with the records.

Owns: the table ``snapshots`` and the numbered directories of a driver.  The order is always: directory first, then the
record that makes it real; record away first, then the directory.  So a killed process leaves directories without a
record, never a record without its directory.  Knows nothing of how a directory is mounted: read overlay.py, copy.py.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from corten.errors import Conflict, NotFound
from corten.kernel.ext4 import spread
from corten.store.db import Database
from corten.store.layout import Layout
from corten.store.snapshots.base import Info, Kind, Usage
from corten.store.trash import Trash


class Records:
    """The snapshots of one driver."""

    def __init__(self, database: Database, layout: Layout, driver: str) -> None:
        self.database = database
        self.root = layout.snapshots / driver
        self._driver = driver
        self._trash = Trash(layout.trash)
        self._lock = threading.Lock()
        os.makedirs(self.root, mode=0o710, exist_ok=True)
        spread(self.root)
        row = database.row("SELECT max(id) FROM snapshots WHERE driver = ?", (driver,))
        known = int(row[0]) if row and row[0] is not None else 0
        self._next = 1 + max([known, *(int(name) for name in os.listdir(self.root) if name.isdigit())])

    def new_id(self) -> int:
        """A number for a directory that no other has."""
        with self._lock:
            number = self._next
            self._next += 1
            return number

    def directory(self, number: int) -> Path:
        """Where that number lives."""
        return self.root / str(number)

    def find(self, key: str) -> tuple[int, Info] | None:
        """The directory's number and the record of ``key``."""
        row = self.database.row(
            "SELECT id, kind, parent, created, volatile FROM snapshots WHERE key = ? AND driver = ?",
            (key, self._driver),
        )
        if row is None:
            return None
        return row["id"], Info(key, Kind(row["kind"]), row["parent"], row["created"], bool(row["volatile"]))

    def get(self, key: str) -> tuple[int, Info]:
        """As find(), or NotFound."""
        found = self.find(key)
        if found is None:
            raise NotFound(f"snapshot {key}: not found")
        return found

    def ancestors(self, key: str) -> list[int]:
        """The numbers of the parents of ``key``, nearest first."""
        rows = self.database.rows(
            "WITH RECURSIVE line (id, parent, depth) AS ("
            " SELECT id, parent, 0 FROM snapshots WHERE driver = ?1 AND key = ?2"
            " UNION ALL SELECT s.id, s.parent, line.depth + 1"
            " FROM line JOIN snapshots s ON s.driver = ?1 AND s.key = line.parent)"
            " SELECT id FROM line WHERE depth > 0 ORDER BY depth",
            (self._driver, key),
        )
        return [int(row["id"]) for row in rows]

    def require_parent(self, parent: str | None) -> int | None:
        """The number of the committed ``parent``; NotFound otherwise."""
        if parent is None:
            return None
        number, info = self.get(parent)
        if info.kind is not Kind.COMMITTED:
            raise NotFound(f"snapshot {parent}: not committed")
        return number

    def add(self, key: str, number: int, kind: Kind, parent: str | None, volatile: bool, usage: Usage | None) -> bool:
        """Make directory ``number`` real.  False if ``key`` is taken; NotFound if the parent has gone meanwhile."""
        with self.database.transaction():
            self.require_parent(parent)
            added = self.database.execute(
                "INSERT OR IGNORE INTO snapshots (key, id, driver, kind, parent, created, volatile, size, inodes)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key,
                    number,
                    self._driver,
                    kind.value,
                    parent,
                    time.time(),
                    int(volatile),
                    usage.size if usage else None,
                    usage.inodes if usage else None,
                ),
            )
        return added == 1

    def commit(self, key: str, name: str, usage: Usage | None) -> int | None:
        """Rename active ``key`` to committed ``name``.  If ``name`` was there, forget ``key`` and give its number."""
        with self.database.transaction():
            number, info = self.get(key)
            if info.kind is not Kind.ACTIVE:
                raise Conflict(f"snapshot {key}: already committed")
            if self.find(name) is not None:
                self.database.execute("DELETE FROM snapshots WHERE driver = ? AND key = ?", (self._driver, key))
                return number
            self.database.execute(
                "UPDATE snapshots SET key = ?, kind = ?, volatile = 0, created = ?, size = coalesce(?, size),"
                " inodes = coalesce(?, inodes)"
                " WHERE driver = ? AND key = ?",
                (
                    name,
                    Kind.COMMITTED.value,
                    time.time(),
                    usage.size if usage else None,
                    usage.inodes if usage else None,
                    self._driver,
                    key,
                ),
            )
            return None

    def forget(self, key: str) -> int:
        """Take the record away; the number of its directory.  Conflict while it has children."""
        with self.database.transaction():
            number, _ = self.get(key)
            child = self.database.row(
                "SELECT key FROM snapshots WHERE driver = ? AND parent = ? LIMIT 1", (self._driver, key)
            )
            if child is not None:
                raise Conflict(f"snapshot {key}: has child snapshot {child['key']}")
            self.database.execute("DELETE FROM snapshots WHERE driver = ? AND key = ?", (self._driver, key))
            return number

    def usage(self, key: str, count: Callable[[], Usage]) -> Usage:
        """The kept usage, or what ``count`` finds, kept if the snapshot is committed."""
        row = self.database.row(
            "SELECT kind, size, inodes FROM snapshots WHERE driver = ? AND key = ?", (self._driver, key)
        )
        if row is None:
            raise NotFound(f"snapshot {key}: not found")
        if row["size"] is not None and row["kind"] == Kind.COMMITTED.value:
            return Usage(row["size"], row["inodes"])
        found = count()
        if row["kind"] == Kind.COMMITTED.value:
            self.database.execute(
                "UPDATE snapshots SET size = ?, inodes = ? WHERE driver = ? AND key = ?",
                (found.size, found.inodes, self._driver, key),
            )
        return found

    def note_usage(self, key: str, usage: Usage) -> None:
        """Keep what somebody counted of an active snapshot until it is committed."""
        self.database.execute(
            "UPDATE snapshots SET size = ?, inodes = ? WHERE driver = ? AND key = ?",
            (usage.size, usage.inodes, self._driver, key),
        )

    def walk(self) -> Iterator[Info]:
        """Every record, parents before children."""
        rows = self.database.rows(
            "SELECT key, kind, parent, created, volatile FROM snapshots WHERE driver = ? ORDER BY created, id",
            (self._driver,),
        )
        infos = {
            row["key"]: Info(row["key"], Kind(row["kind"]), row["parent"], row["created"], bool(row["volatile"]))
            for row in rows
        }
        seen: set[str] = set()
        for key in infos:
            line: list[str] = []
            at: str | None = key
            while at is not None and at in infos and at not in seen:
                seen.add(at)
                line.append(at)
                at = infos[at].parent
            for item in reversed(line):
                yield infos[item]

    def discard(self, number: int) -> None:
        """Move a directory out of sight and delete it in the background."""
        self._trash.take(self.directory(number))

    def strays(self) -> list[int]:
        """Directories that no record names: leftovers of a killed process."""
        known = {
            int(row["id"]) for row in self.database.rows("SELECT id FROM snapshots WHERE driver = ?", (self._driver,))
        }
        return [int(name) for name in os.listdir(self.root) if name.isdigit() and int(name) not in known]
