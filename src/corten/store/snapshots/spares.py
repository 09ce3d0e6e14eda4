"""Directories made before they are needed: three mkdir(2) cost a millisecond on a busy disk, and a step has only a few.

Owns: a handful of numbers, refilled by a thread of its own.  Those whose ground is bad at the moment (kernel/ext4.py)
are used last.  A killed process leaves them as directories without a record, which sweep() removes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

LOW, FULL = 4, 8


class Spares:
    """``number`` gives a new number, ``lay`` makes its directory; take() gives one that is ready, or makes it now."""

    def __init__(
        self,
        number: Callable[[], int],
        lay: Callable[[int], None],
        is_good: Callable[[int], bool] = lambda number: True,
    ) -> None:
        self._number = number
        self._lay = lay
        self._is_good = is_good
        self._ready: deque[int] = deque()
        self._growing: int | None = None  # its directory may be seen already
        self._lock = threading.Lock()
        self._filling = False

    def take(self) -> int:
        """The number of a directory that nobody else gets."""
        with self._lock:
            number = self._best()
            start = not self._filling and len(self._ready) < LOW
            self._filling = self._filling or start
        if start:
            threading.Thread(target=self._fill, name="spares", daemon=True).start()
        if number is None:
            number = self._number()
            self._lay(number)
        return number

    def __contains__(self, number: object) -> bool:
        with self._lock:
            return number == self._growing or number in self._ready

    def _best(self) -> int | None:
        """The first on good ground, else the first."""
        for _ in range(len(self._ready)):
            if self._is_good(self._ready[0]):
                break
            self._ready.rotate(-1)
        return self._ready.popleft() if self._ready else None

    def _fill(self) -> None:
        try:
            while len(self._ready) < FULL:
                with self._lock:
                    number = self._growing = self._number()
                self._lay(number)
                with self._lock:
                    self._ready.append(number)
                    self._growing = None
        except OSError:
            return  # a full disk is told to whoever needs a directory
        finally:
            self._filling = False
