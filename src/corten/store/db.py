"""The one SQLite file: opening, migrating, transactions.

    facts         kind, key -> body           generic JSON documents (facts.py)
    snapshots     driver, key -> id, kind, parent, created, volatile, size, inodes      (snapshots/records.py)
    images        id -> parent, manifest, added, last_tagged                            (images.py)
    tags          name, tag -> image, target      target: digest of the index that the name names, if it is one
    repo_digests  name, digest -> image           digest: of a manifest, or of an index
    manifests     digest -> descriptor, image     manifests that are here, and the image that each is of (indexes.py)
    layer_blobs   diff_id, digest -> media_type, size, at      compressed (or plain) blobs that hold this layer
    leases        id -> created, expires      (leases.py)
    lease_items   lease, kind, key
    meta          key -> value                of the file itself; empty so far

A change of the schema is a new entry of MIGRATIONS; entries are never edited.  WAL and synchronous=NORMAL: a killed
process loses nothing, a power cut may lose the last transactions and never the file.  Transactions are short and never
span an await.  Knows nothing of what the tables mean.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from corten.errors import Internal

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE facts (
        kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
    CREATE TABLE snapshots (
        driver TEXT NOT NULL, key TEXT NOT NULL, id INTEGER NOT NULL, kind TEXT NOT NULL, parent TEXT,
        created REAL NOT NULL, volatile INTEGER NOT NULL DEFAULT 0, size INTEGER, inodes INTEGER,
        PRIMARY KEY (driver, key), UNIQUE (driver, id)) WITHOUT ROWID;
    CREATE INDEX snapshots_parent ON snapshots (driver, parent);
    CREATE TABLE images (
        id TEXT PRIMARY KEY, parent TEXT, manifest TEXT, added REAL NOT NULL, last_tagged REAL) WITHOUT ROWID;
    CREATE INDEX images_parent ON images (parent);
    CREATE TABLE tags (
        name TEXT NOT NULL, tag TEXT NOT NULL, image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
        PRIMARY KEY (name, tag)) WITHOUT ROWID;
    CREATE INDEX tags_image ON tags (image);
    CREATE TABLE repo_digests (
        name TEXT NOT NULL, digest TEXT NOT NULL, image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
        PRIMARY KEY (name, digest)) WITHOUT ROWID;
    CREATE INDEX repo_digests_image ON repo_digests (image);
    CREATE TABLE layer_blobs (
        diff_id TEXT NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (diff_id, digest)) WITHOUT ROWID;
    CREATE INDEX layer_blobs_digest ON layer_blobs (digest);
    CREATE TABLE leases (id TEXT PRIMARY KEY, created REAL NOT NULL, expires REAL) WITHOUT ROWID;
    CREATE TABLE lease_items (
        lease TEXT NOT NULL REFERENCES leases (id) ON DELETE CASCADE, kind TEXT NOT NULL, key TEXT NOT NULL,
        PRIMARY KEY (lease, kind, key)) WITHOUT ROWID;
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    """,
    # A repository's digest that is not the image's manifest is that of the index it was pulled by.
    """
    ALTER TABLE tags ADD COLUMN target TEXT;
    CREATE TABLE manifests (
        digest TEXT PRIMARY KEY, descriptor TEXT NOT NULL, image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE)
        WITHOUT ROWID;
    CREATE INDEX manifests_image ON manifests (image);
    INSERT OR IGNORE INTO manifests (digest, descriptor, image)
        SELECT json_extract(manifest, '$.digest'), manifest, id FROM images WHERE manifest IS NOT NULL;
    UPDATE tags SET target = (
        SELECT CASE WHEN count(*) = 1 THEN max(repo_digests.digest) END FROM repo_digests
        JOIN images ON images.id = repo_digests.image
        WHERE repo_digests.name = tags.name AND repo_digests.image = tags.image
        AND repo_digests.digest != json_extract(images.manifest, '$.digest'));
    """,
)

BUSY_SECONDS = 10.0


class Database:
    """One connection, usable from any thread; whoever holds it makes the others wait, so be short."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.RLock()
        self._depth = 0

    @classmethod
    def open(cls, path: Path | str) -> Database:
        """Open (and make) the file at ``path`` and bring its schema up to date."""
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        database = cls(connection)
        database._migrate()
        return database

    def close(self) -> None:
        """Close the file; what is committed stays."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing.  Nests: the outermost commits.  Never await inside."""
        with self._lock:
            if self._depth == 0:
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._connection.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                self._connection.execute("COMMIT")

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement; the number of rows it changed."""
        with self._lock:
            return self._connection.execute(sql, parameters).rowcount

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Every row of a query."""
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        with self._lock:
            found: sqlite3.Row | None = self._connection.execute(sql, parameters).fetchone()
            return found

    def integrity(self) -> list[str]:
        """What SQLite finds wrong with the file; empty when nothing."""
        found = [str(row[0]) for row in self.rows("PRAGMA integrity_check")]
        return [] if found == ["ok"] else found

    def _migrate(self) -> None:
        row = self.row("PRAGMA user_version")
        version = int(row[0]) if row else 0
        if version > len(MIGRATIONS):
            raise Internal(
                f"the database was written by a newer Corten (schema {version}, this one knows {len(MIGRATIONS)})",
                hint="Run the newer version, or use another --data-root.",
            )
        for number in range(version, len(MIGRATIONS)):
            with self.transaction():
                for statement in MIGRATIONS[number].split(";"):
                    if statement.strip():
                        self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {number + 1}")
