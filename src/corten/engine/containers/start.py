"""A record becomes a running task, and what that took is given back when it ends.

Owns: the order of a start: volumes, addresses, /etc files, bundle, task, interfaces, attached clients, go.  Decides
nothing about when: that is ``lifecycle.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from corten.engine.containers import bundle, links, networking, storage
from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Live
from corten.engine.containers.lower import Surroundings, lower
from corten.errors import CortenError
from corten.supervisor.service import Task

log = logging.getLogger(__name__)

_NAMESPACE_FIELDS = {"NetworkMode": ("network", "net"), "IpcMode": ("ipc", "ipc"), "PidMode": ("pid", "pid")}


async def bring_up(ground: Ground, live: Live) -> Task:
    """Start the container's process; undoes everything if that fails."""
    task: Task | None = None
    try:
        spec = await prepare(ground, live)
        directory = ground.bundle(live.record.id)
        root = ground.snapshots.mounts(live.record.id)
        bundle.write(directory, spec, root, bundle.shim_options(live.record, directory))
        task = await ground.supervisor.create(directory)
        await asyncio.gather(networking.plug(ground, live, task), connect_pending(live, task))
        await task.start()
    except BaseException:
        with contextlib.suppress(CortenError, OSError):
            if task is not None:
                await task.delete()
        await give_back(ground, live)
        raise
    return task


async def prepare(ground: Ground, live: Live) -> dict[str, Any]:
    """Everything outside the container that its spec depends on, and the spec."""
    record = live.record
    links.check(ground, record)
    joined: dict[str, str] = {}
    etc_dir = ground.bundle(record.id)
    for field, (kind, name) in _NAMESPACE_FIELDS.items():
        if other := networking.shared_with(ground, record, field):
            joined[kind] = f"/proc/{other.running_task().pid}/ns/{name}"
            if kind == "network":
                etc_dir = ground.bundle(other.record.id)
    sources = await storage.mount(ground, record)
    endpoints = await networking.reserve(ground, live)
    hostname = networking.hostname(record)
    if "network" in joined:
        hostname = networking.hostname(networking.shared_with(ground, record, "NetworkMode").record)  # type: ignore[union-attr]
    else:
        bundle.write_etc(etc_dir, networking.etc_files(ground, record, endpoints))
    world = Surroundings(
        joined=joined,
        sources=sources,
        etc_dir=etc_dir,
        shm_path=await storage.share_shm(ground, live),
        hostname=hostname,
        extra_env=tuple(links.environment(ground, record)),
        cgroup_parent=ground.settings.cgroup_parent,
        seccomp_profile=ground.settings.seccomp_profile,
    )
    return lower(record, world)


async def connect_pending(live: Live, task: Task) -> None:
    """Give the clients that attached early their streams, before the first byte."""
    waiting, live.pending = live.pending, []
    for pending in waiting:
        if pending.future.done():
            continue
        wanted = pending.streams
        pending.future.set_result(await task.attach(stdin=wanted.stdin, stdout=wanted.stdout, stderr=wanted.stderr))


async def give_back(ground: Ground, live: Live) -> None:
    """Network, ports, volumes: after an end or a failed start.  One failure does not keep the others."""
    for step in (networking.release(ground, live), storage.unmount(ground, live.record)):
        try:
            await step
        except (CortenError, OSError):
            log.exception("releasing what %s held", live.record.short_id)
    storage.unshare_shm(ground, live.record)
