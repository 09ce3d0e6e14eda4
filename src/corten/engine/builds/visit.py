"""Who is at the other end of a build: whom it tells, who lends keys and secrets.  Values only."""

from __future__ import annotations

from dataclasses import dataclass

from corten.build.ports import Progress, Secrets
from corten.build.watch import UNWATCHED, Watcher
from corten.engine.builds.ports import Keys
from corten.engine.builds.travel import Ledger


@dataclass(frozen=True, slots=True)
class Visit:
    """``progress`` is the classic builder's text, ``watcher`` hears of every step; one of them is enough.
    ``ledger`` brings caches from elsewhere and notes what the build uses."""

    progress: Progress
    keys: Keys
    watcher: Watcher = UNWATCHED
    secrets: Secrets | None = None
    ledger: Ledger | None = None

    @property
    def is_classic(self) -> bool:
        return self.watcher is UNWATCHED
