"""The disk budget at work: the report, one enforcement, and the background that enforces when there is need.

Owns: when, and the doing of a plan through the services that own each thing, so that the usual events are told and the
usual refusals hold: what somebody took up meanwhile stays.  Bytes of layers and blobs go with a collection at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from pathlib import Path
from typing import Any

from corten.engine.budget import planner
from corten.engine.budget.model import Item, Kind, Limits, Plan, Survey
from corten.engine.budget.survey import Surveyor
from corten.engine.builds.service import BuildService
from corten.engine.containers.service import ContainerService
from corten.engine.images.keeper import Keeper
from corten.engine.images.service import ImageService
from corten.errors import CortenError

log = logging.getLogger(__name__)

# Seconds between looks at the free space; between surveys; and between surveys while too little is free, for what was
# removed is deleted in the background.
LOOK, SURVEY, SHORT = 15.0, 300.0, 60.0


class BudgetService:
    """Keeps the disk within its limits."""

    def __init__(
        self,
        limits: Limits,
        surveyor: Surveyor,
        containers: ContainerService,
        images: ImageService,
        builds: BuildService,
        keeper: Keeper,
    ) -> None:
        self._limits = limits
        self._surveyor = surveyor
        self._uses = surveyor.uses
        self._containers = containers
        self._images = images
        self._cache = builds.cache
        self._keeper = keeper
        self._events = surveyor.events
        self._root = surveyor.root
        self._lock = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Listen to what is used, and enforce in the background if there is a limit."""
        self._tasks.append(asyncio.create_task(self._listen(), name="budget: uses"))
        if self._limits.is_on:
            self._tasks.append(asyncio.create_task(self._watch(), name="budget"))

    async def close(self) -> None:
        """End."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._flush()

    async def report(self, ceiling: int | None = None, floor: int | None = None) -> dict[str, Any]:
        """What there is and what would go; with other limits than the daemon's if they are given."""
        limits = self._wanted(ceiling, floor)
        survey = await self._surveyor.take()
        return _told(limits, survey, planner.plan(survey, limits))

    async def enforce(self, ceiling: int | None = None, floor: int | None = None) -> dict[str, Any]:
        """Remove what the plan says; the plan, with what went."""
        limits = self._wanted(ceiling, floor)
        async with self._lock:
            survey = await self._surveyor.take()
            made = planner.plan(survey, limits)
            done = await self._perform(made)
        return {**_told(limits, survey, made), "Removed": [item.id for item in done]}

    def _wanted(self, ceiling: int | None, floor: int | None) -> Limits:
        own = self._limits
        return Limits(own.ceiling if ceiling is None else ceiling, own.floor if floor is None else floor, own.young)

    async def _perform(self, made: Plan) -> list[Item]:
        done = []
        for line in made.removals:
            try:
                await self._remove(line.item)
            except (CortenError, OSError) as error:
                log.info("budget: %s %s stays: %s", line.item.kind.value, line.item.name, error)
                continue
            done.append(line.item)
            log.info("budget: removed %s %s: %s", line.item.kind.value, line.item.name, line.reason)
        if made.removals:
            self._keeper.soon()
            told = {"reclaimed": str(made.freed), "removed": str(len(done))}
            self._events.publish("daemon", "budget", "corten", told)
        if made.missing:
            log.warning("budget: %d bytes too much, and nothing more that may be removed", made.missing)
        return done

    async def _remove(self, item: Item) -> None:
        id = item.id.partition(":")[2]
        if item.kind is Kind.CONTAINER:
            await self._containers.remove(id)
        elif item.kind is Kind.IMAGE:
            self._images.drop(id)
        elif item.kind is Kind.LOG:
            Path(id).unlink(missing_ok=True)
        elif item.kind in (Kind.CACHE, Kind.MOUNT):
            wanted = [entry for entry in self._cache.entries() if entry.id == id and not entry.in_use]
            for entry in wanted:
                await asyncio.to_thread(self._cache.forget, entry)
        # Kind.UNREFERENCED goes with the collection.

    async def _listen(self) -> None:
        subscription = self._events.subscribe()
        with contextlib.closing(subscription):
            async for event in subscription:
                self._uses.heard(event)

    async def _watch(self) -> None:
        surveyed = -SURVEY
        while True:
            await asyncio.sleep(LOOK)
            free = shutil.disk_usage(self._root).free
            is_short = free < self._limits.floor
            since = time.monotonic() - surveyed
            if since < SHORT or (not is_short and (since < SURVEY or self._keeper.is_busy)):
                continue
            surveyed = time.monotonic()
            self._flush()
            try:
                await self.enforce()
            except (CortenError, OSError):
                log.exception("budget: enforcing failed")

    def _flush(self) -> None:
        self._uses.flush(self._images.ids())


def _told(limits: Limits, survey: Survey, made: Plan) -> dict[str, Any]:
    return {
        "Ceiling": limits.ceiling,
        "Floor": limits.floor,
        "Young": limits.young,
        "Used": survey.used,
        "Free": survey.free,
        "Usage": {kind.value: size for kind, size in survey.usage().items()},
        "Excess": made.excess,
        "Reclaim": made.freed,
        "Missing": made.missing,
        "Lines": [line.to_json() for line in made.lines],
    }
