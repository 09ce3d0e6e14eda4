"""``corten system check``: is everything there that the records promise, and is it what it was?

Owns: the engine's own records (containers and their snapshots), the answer's shape, and the one cheap repair.  What the
store can say of itself: store/check.py.
"""

from __future__ import annotations

import asyncio
from typing import Any

from corten.engine.containers.live import Roster
from corten.engine.events import Events
from corten.spec.digest import Digest
from corten.store.check import Checker, Fault
from corten.store.content import Content
from corten.store.images import Images
from corten.store.snapshots.base import Kind, Snapshots

# Active snapshots that are not containers': steps of builds.
STEP_PREFIX = "build-"
# A container that is being made or removed has a snapshot and no record for a moment.
MOMENT = 2.0


class Upkeep:
    """Looks after the store."""

    def __init__(
        self,
        checker: Checker,
        content: Content,
        images: Images,
        snapshots: Snapshots,
        roster: Roster,
        events: Events,
    ) -> None:
        self._checker = checker
        self._content = content
        self._images = images
        self._snapshots = snapshots
        self._roster = roster
        self._events = events

    async def check(self, *, deep: bool = True, repair: bool = False) -> dict[str, Any]:
        """What is wrong, and how much was looked at.  ``repair`` first removes blobs that lie."""
        repaired = [str(digest) for digest in await self._repair()] if repair else []
        faults = [*await self._checker.check(deep=deep), *await self._containers()]
        self._events.publish("daemon", "check", "corten", {"faults": str(len(faults))})
        return {
            "Faults": [{"Subject": it.subject, "Problem": it.problem, "Hint": it.hint} for it in faults],
            "Repaired": repaired,
            "Images": len(self._images.ids()),
            "Snapshots": sum(1 for _ in self._snapshots.walk()),
            "Blobs": sum(1 for _ in self._content.digests()),
            "Deep": deep,
        }

    async def _repair(self) -> list[Digest]:
        """Remove corrupt blobs: while they are there, nobody downloads them again or prints their layer anew."""
        corrupt = await self._checker.corrupt_blobs()
        for digest in corrupt:
            self._content.delete(digest)
        return corrupt

    async def _containers(self) -> list[Fault]:
        strays = self._strays()
        if strays:
            await asyncio.sleep(MOMENT)
            strays &= self._strays()
        hint = "It is removed when the daemon starts."
        faults = [Fault(f"snapshot {key}", "no container has it", hint) for key in sorted(strays)]
        return faults + [
            Fault(f"container {live.record.id}", "its file system is missing", "Remove it.")
            for live in self._roster
            if not self._snapshots.exists(live.record.id)
        ]

    def _strays(self) -> set[str]:
        actives = {info.key for info in self._snapshots.walk() if info.kind is Kind.ACTIVE}
        return {key for key in actives if key not in self._roster and not key.startswith(STEP_PREFIX)}
