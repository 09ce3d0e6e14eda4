"""Leases: a hold on content and snapshots that nothing refers to yet.

    lease = leases.create()
    lease.hold_content(digest); lease.hold_snapshot(name)
    …                                   # now an image refers to them
    lease.release()

A lease of a process that died expires by its time.  Owns: the tables leases and lease_items.  Who asks: collect.py.
"""

from __future__ import annotations

import secrets
import time
from types import TracebackType

from corten.spec.digest import Digest
from corten.store.db import Database

SECONDS = 24 * 3600.0
CONTENT, SNAPSHOT = "content", "snapshot"


class Lease:
    """One hold; ``with`` releases it."""

    def __init__(self, database: Database, id: str) -> None:
        self._database = database
        self.id = id

    def hold_content(self, digest: Digest) -> None:
        """Keep this blob."""
        self._hold(CONTENT, str(digest))

    def hold_snapshot(self, key: str) -> None:
        """Keep this snapshot, and so its ancestors."""
        self._hold(SNAPSHOT, key)

    def release(self) -> None:
        """Let all of it go."""
        self._database.execute("DELETE FROM leases WHERE id = ?", (self.id,))

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _hold(self, kind: str, key: str) -> None:
        self._database.execute(
            "INSERT OR IGNORE INTO lease_items (lease, kind, key) VALUES (?, ?, ?)", (self.id, kind, key)
        )


class Leases:
    """The leases of one data root."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, *, seconds: float = SECONDS) -> Lease:
        """A new lease, which ends by itself after so many seconds."""
        id = secrets.token_hex(16)
        now = time.time()
        self._database.execute("INSERT INTO leases (id, created, expires) VALUES (?, ?, ?)", (id, now, now + seconds))
        return Lease(self._database, id)

    def held(self) -> tuple[set[Digest], set[str]]:
        """The content and the snapshots that are held now; expired leases are dropped."""
        self._database.execute("DELETE FROM leases WHERE expires < ?", (time.time(),))
        rows = self._database.rows("SELECT kind, key FROM lease_items")
        content = {Digest.parse(row["key"]) for row in rows if row["kind"] == CONTENT}
        return content, {str(row["key"]) for row in rows if row["kind"] == SNAPSHOT}
