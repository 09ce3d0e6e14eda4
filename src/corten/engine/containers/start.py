"""A record becomes a running task, and what that took is given back when it ends.

Owns: the order of a start: volumes, addresses, /etc files, bundle, task, interfaces, attached clients, go.  Decides
nothing about when: that is ``lifecycle.py``.
"""

from __future__ import annotations

import logging
from typing import Any

from corten.engine.containers import bundle, etc, links, networking, storage
from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Live, Pending
from corten.engine.containers.lower import Surroundings, lower
from corten.errors import CortenError
from corten.supervisor.service import ShimLost, Task

log = logging.getLogger(__name__)

_ATTEMPTS = 3
_CLIENTS_AT_ONCE = 32
_NAMESPACE_FIELDS = {"NetworkMode": ("network", "net"), "IpcMode": ("ipc", "ipc"), "PidMode": ("pid", "pid")}


async def bring_up(ground: Ground, live: Live) -> Task:
    """Start the container's process; undoes everything if that fails."""
    for attempt in range(_ATTEMPTS):
        try:
            return await _bring_up(ground, live)
        except BaseException as failure:
            await give_back(ground, live)
            # Somebody has killed the zygote with our request in its hands, or the shim.
            if not isinstance(failure, ShimLost) or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


async def _bring_up(ground: Ground, live: Live) -> Task:
    spec = await prepare(ground, live)
    directory = ground.bundle(live.record.id)
    root = ground.snapshots.mounts(live.record.id)
    settings = ground.settings
    runtime = settings.defaults.runtimes.call(live.record.host_config["Runtime"], settings.exec_root)
    bundle.write(directory, spec, root, bundle.shim_options(live.record, directory, runtime))
    waiting = [pending for pending in live.pending if not pending.future.done()]
    waiting, later = waiting[:_CLIENTS_AT_ONCE], waiting[_CLIENTS_AT_ONCE:]

    async def connect(task: Task) -> None:
        await networking.plug(ground, live, task)
        for pending in later:
            await _attach(pending, task)

    is_alone = not (networking.has_own_network(live.record) or later)
    clients = [pending.streams for pending in waiting]
    task, streams = await ground.supervisor.launch(directory, clients, None if is_alone else connect)
    for pending, stream in zip(waiting, streams, strict=True):
        if pending.future.done():
            stream.close()  # it has left in the meantime
        else:
            pending.future.set_result(stream)
    came, live.pending = [each for each in live.pending if not each.future.done()], []
    for pending in came:
        await _attach(pending, task)
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
        bundle.write_etc(etc_dir, etc.etc_files(ground, record, endpoints))
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


async def _attach(pending: Pending, task: Task) -> None:
    wanted = pending.streams
    stream = await task.attach(stdin=wanted.stdin, stdout=wanted.stdout, stderr=wanted.stderr)
    if pending.future.done():
        stream.close()
    else:
        pending.future.set_result(stream)


async def give_back(ground: Ground, live: Live) -> None:
    """Network, ports, volumes: after an end or a failed start.  One failure does not keep the others."""
    for step in (networking.release(ground, live), storage.unmount(ground, live.record)):
        try:
            await step
        except (CortenError, OSError):
            log.exception("releasing what %s held", live.record.short_id)
    storage.unshare_shm(ground, live.record)
