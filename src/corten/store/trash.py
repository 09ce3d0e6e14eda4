"""Deletion that nobody waits for: rename now, remove the bytes in the background, finish after a crash.

Owns: the directory ``trash`` and the one thread that empties it.  Knows nothing of what it deletes.
"""

from __future__ import annotations

import os
import queue
import secrets
import shutil
import threading
from pathlib import Path
from typing import ClassVar


class Trash:
    """One directory of things to delete, on the same file system as they are."""

    _queue: ClassVar[queue.SimpleQueue[Path]] = queue.SimpleQueue()
    _thread: ClassVar[threading.Thread | None] = None
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, root: Path) -> None:
        self._root = root
        os.makedirs(root, mode=0o700, exist_ok=True)

    def take(self, path: Path) -> None:
        """Make ``path`` disappear now; its bytes go later.  Nothing happens if it is gone already."""
        hidden = self._root / f"{path.name[:64]}-{secrets.token_hex(6)}"
        try:
            os.rename(path, hidden)
        except FileNotFoundError:
            return
        self._delete(hidden)

    def empty(self) -> int:
        """At start: delete what an earlier process left; how many things there were."""
        left = list(self._root.iterdir())
        for path in left:
            self._delete(path)
        return len(left)

    @classmethod
    def _delete(cls, path: Path) -> None:
        cls._queue.put(path)
        with cls._lock:
            if cls._thread is None or not cls._thread.is_alive():
                cls._thread = threading.Thread(target=cls._run, name="trash", daemon=True)
                cls._thread.start()

    @classmethod
    def _run(cls) -> None:
        while True:
            remove_tree(cls._queue.get())


def remove_tree(path: Path) -> None:
    """Remove a file or a tree, whatever of it is there; what resists stays for the next start."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
