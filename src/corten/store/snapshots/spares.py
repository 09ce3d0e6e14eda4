"""Directories made before they are needed: three mkdir(2) cost a millisecond on a busy disk, and a step has only a few.

Owns: a handful of numbers, refilled by a thread of its own.  A killed process leaves them as directories without a
record, which sweep() removes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

LOW, FULL = 4, 8


class Spares:
    """``make`` gives the number of a new directory; take() gives one that is ready, or makes it now."""

    def __init__(self, make: Callable[[], int]) -> None:
        self._make = make
        self._ready: deque[int] = deque()
        self._lock = threading.Lock()
        self._filling = False

    def take(self) -> int:
        """The number of a directory that nobody else gets."""
        with self._lock:
            number = self._ready.popleft() if self._ready else None
            start = not self._filling and len(self._ready) < LOW
            self._filling = self._filling or start
        if start:
            threading.Thread(target=self._fill, name="spares", daemon=True).start()
        return self._make() if number is None else number

    def __contains__(self, number: object) -> bool:
        with self._lock:
            return number in self._ready

    def _fill(self) -> None:
        try:
            while len(self._ready) < FULL:
                number = self._make()
                with self._lock:
                    self._ready.append(number)
        except OSError:
            return  # a full disk is told to whoever needs a directory
        finally:
            self._filling = False
