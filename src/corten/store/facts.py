"""Facts: JSON documents by kind and key, for whoever above the store has state to keep.

Owns: the table ``facts``.  Knows nothing of what the documents say; engine, network and volumes declare the small
Protocols that this class fits.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from typing import Any

from corten.store.db import Database


class Facts:
    """``facts[kind][key]``, durable when put() returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """The document, or None."""
        row = self._database.row("SELECT body FROM facts WHERE kind = ? AND key = ?", (kind, key))
        return None if row is None else dict(json.loads(row["body"]))

    def put(self, kind: str, key: str, body: dict[str, Any]) -> None:
        """Keep ``body``, in place of what was there."""
        text = json.dumps(body, separators=(",", ":"))
        self._database.execute("INSERT OR REPLACE INTO facts (kind, key, body) VALUES (?, ?, ?)", (kind, key, text))

    def delete(self, kind: str, key: str) -> None:
        """Forget the document, if there is one."""
        self._database.execute("DELETE FROM facts WHERE kind = ? AND key = ?", (kind, key))

    def items(self, kind: str) -> dict[str, dict[str, Any]]:
        """Every document of a kind, by key."""
        rows = self._database.rows("SELECT key, body FROM facts WHERE kind = ? ORDER BY key", (kind,))
        return {str(row["key"]): dict(json.loads(row["body"])) for row in rows}

    def transaction(self) -> AbstractContextManager[None]:
        """All of what is done inside, or nothing.  Never await inside."""
        return self._database.transaction()
