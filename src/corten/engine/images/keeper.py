"""When the store is collected: after images were removed, a while after start, and now and then.

Owns: the timing.  A collection runs on the event loop, in one piece and only while nothing is under way, so that what
it found unneeded cannot come to be needed while it is being removed.  What is collected: store/collect.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from corten.errors import CortenError
from corten.store.collect import Collector

log = logging.getLogger(__name__)

SOON, AT_START, OFTEN = 5.0, 60.0, 3600.0


class Keeper:
    """Calls the collector."""

    def __init__(
        self, collector: Collector, is_busy: Callable[[], bool], kept: Callable[[], Iterable[str]] = tuple
    ) -> None:
        self._collector = collector
        self._is_busy = is_busy
        self._kept = kept  # snapshots that nobody else speaks for
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_busy(self) -> bool:
        """Something is under way that may need what it has not named yet."""
        return self._is_busy()

    def open(self) -> None:
        """Begin."""
        self._arm(AT_START)

    def close(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def soon(self) -> None:
        """Something was removed."""
        self._arm(SOON)

    def _arm(self, seconds: float) -> None:
        self.close()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._collect)

    def _collect(self) -> None:
        if self._is_busy():
            self._arm(SOON)
            return
        try:
            gone = self._collector.collect(snapshots=self._kept())
        except (CortenError, OSError):
            log.exception("collection failed")
        else:
            if gone.size:
                log.info(
                    "collected %d blobs and %d snapshots, %d bytes", len(gone.blobs), len(gone.snapshots), gone.size
                )
        self._arm(OFTEN)
