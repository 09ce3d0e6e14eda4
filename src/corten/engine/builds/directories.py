"""Directories of clients, kept from build to build so that only what changed has to come again.

One directory a client's directory (its session's shared key and name).  A build has it for itself; one that comes
meanwhile gets an empty one of its own.  The least recently used go.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from corten.buildkit.filesync.fetch import Wanted, fetch
from corten.buildkit.sessions import Session
from corten.store.tree import count_tree

KEPT = 8


class Directories:
    """Those below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._busy: set[Path] = set()

    @contextlib.asynccontextmanager
    async def receive(self, session: Session, wanted: Wanted, spare: Path) -> AsyncIterator[tuple[Path, int]]:
        """The client's directory as it is now, and how much had to come; ``spare`` is used where none may be kept."""
        kept = self._place(session, wanted)
        if kept is None or kept in self._busy:
            spare.mkdir(mode=0o700)
            yield spare, await fetch(session, wanted, spare)
            return
        self._busy.add(kept)
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            kept.mkdir(mode=0o700, exist_ok=True)
            size = await fetch(session, wanted, kept)
            os.utime(kept)
            yield kept, size
        finally:
            self._busy.discard(kept)
            await asyncio.shield(asyncio.to_thread(self._trim))

    def clear(self) -> int:
        """Forget all that are not in use; the bytes that were in them."""
        return sum(self._drop(path) for path in self._idle())

    def _place(self, session: Session, wanted: Wanted) -> Path | None:
        if not session.shared_key:
            return None
        key = "\0".join((session.shared_key, wanted.name, *wanted.follow))
        return self._root / hashlib.sha256(key.encode()).hexdigest()[:32]

    def _idle(self) -> list[Path]:
        """The least recently used first."""
        found: list[tuple[float, Path]] = []
        with contextlib.suppress(FileNotFoundError):
            for path in self._root.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    found.append((path.stat().st_mtime, path))
        return [path for _, path in sorted(found) if path not in self._busy]

    def _trim(self) -> None:
        for path in self._idle()[:-KEPT]:
            self._drop(path)

    def _drop(self, path: Path) -> int:
        size = count_tree(path)[0]
        shutil.rmtree(path, ignore_errors=True)
        return size
