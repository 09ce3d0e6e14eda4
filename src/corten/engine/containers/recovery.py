"""After a daemon restart: which containers run, which ended meanwhile, what a killed daemon left half-made.

Owns: bringing records, tasks, networks, volumes and directories to agree.  A running container is only found again;
nothing about it changes.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time

from corten.engine.containers import members, networking, policy
from corten.engine.containers.ground import Ground
from corten.engine.containers.lifecycle import Lifecycle
from corten.engine.containers.live import Live
from corten.engine.containers.removal import Removal
from corten.engine.containers.status import Status
from corten.errors import CortenError, NotModified
from corten.store.snapshots.base import Kind
from corten.supervisor.model import ExitRecord
from corten.supervisor.service import Task

log = logging.getLogger(__name__)

_CONTAINER_ID = re.compile(r"[0-9a-f]{64}\Z")
# How a container ended that nobody saw end: the machine went down, or its shim was killed.
LOST = 255


async def recover(ground: Ground, lifecycle: Lifecycle, removal: Removal) -> None:
    """Find everything again; restart policies are applied in the background."""
    ground.roster.load()
    await asyncio.gather(*(_find(ground, lifecycle, live) for live in ground.roster))
    running = {live.record.id: live.record.is_running for live in ground.roster}
    await ground.networking.reconcile([container for container, runs in running.items() if runs])
    await ground.volumes.reconcile(running)
    for live in ground.roster:
        if live.task is not None and networking.has_own_network(live.record):
            sandbox = networking.TaskSandbox(live.record.id, live.task)
            try:
                await members.settle(ground, live, sandbox)
                await ground.networking.restore(live.record.id, sandbox)
            except (CortenError, OSError):
                log.exception("restoring the network of %s", live.record.short_id)
    await _sweep(ground, removal)
    _resume(ground, lifecycle)


async def _find(ground: Ground, lifecycle: Lifecycle, live: Live) -> None:
    record, state = live.record, live.record.state
    try:
        found = await ground.supervisor.recover(ground.bundle(record.id))
    except (CortenError, OSError):
        log.exception("recovering %s", record.short_id)
        found = None
    if isinstance(found, Task) and found.started_at is None:
        # Killed between create and start: nobody was told that it runs.
        await found.delete()
        found = None
    if isinstance(found, Task):
        was_paused = found.status == "paused"
        if not record.is_running:
            # Killed between start and writing it down.
            state.status, state.started_at = Status.RUNNING, found.started_at
            record.has_been_started = True
        lifecycle.adopt(live, found)
        if was_paused:
            state.status = Status.PAUSED
        ground.roster.save(live)
    elif record.is_running:
        ended = found or ExitRecord(status=LOST, finished_at=time.time(), error="lost with the machine or its shim")
        lifecycle.ended(live, None, ended)
    elif isinstance(found, ExitRecord) and state.status is Status.CREATED and (found.started_at or 0) > record.created:
        # Started, ended, and the daemon killed before it wrote either down.
        state.status, state.started_at = Status.RUNNING, found.started_at
        lifecycle.ended(live, None, found)
    elif state.status in (Status.RESTARTING, Status.REMOVING):
        state.status = Status.EXITED
        ground.roster.save(live)


async def _sweep(ground: Ground, removal: Removal) -> None:
    """Delete what has no record: created or removed when the daemon was killed; and ended --rm containers."""
    strays = {
        info.key for info in ground.snapshots.walk() if info.kind is Kind.ACTIVE and _CONTAINER_ID.match(info.key)
    }
    strays |= {path.name for path in ground.layout.containers.iterdir() if _CONTAINER_ID.match(path.name)}
    for container_id in strays:
        if container_id not in ground.roster:
            await removal.delete_files(container_id)
    for live in ground.roster:
        if live.record.auto_remove and live.record.state.status in (Status.EXITED, Status.DEAD):
            await removal.remove(live, with_volumes=True)


def _resume(ground: Ground, lifecycle: Lifecycle) -> None:
    for live in ground.roster:
        if not live.record.is_active and policy.restarts_with_daemon(live.record):
            ground.background.start(_start(lifecycle, live), f"start {live.record.short_id}")


async def _start(lifecycle: Lifecycle, live: Live) -> None:
    try:
        await lifecycle.start(live)
    except NotModified:
        pass
    except (CortenError, OSError) as error:
        log.warning("starting %s again: %s", live.record.short_id, error)
