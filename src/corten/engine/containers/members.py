"""Containers as members of networks: ``network connect`` and ``disconnect``, running or not.

Owns: the container's side: its settings on each network, kept in its record.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from corten.engine.containers import etc, networking
from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Live
from corten.engine.containers.status import Status
from corten.errors import Conflict, Denied, NotFound
from corten.network.model import Network


async def connect(ground: Ground, live: Live, network: Network, settings: Mapping[str, Any]) -> str:
    """Add a network: now if the container runs, else when it starts."""
    async with live.lock:
        record = live.record
        if record.state.status in (Status.REMOVING, Status.DEAD):
            raise Conflict(
                f"container {record.id} is marked for removal and cannot be connected or disconnected to the network"
            )
        if not networking.may_join(record):
            raise Denied(
                "container sharing network namespace with another container or host cannot be connected to any other "
                "network"
            )
        if network.driver == "host":
            raise Denied("container cannot be disconnected from host network or connected to host network")
        is_on = networking.wanted(record)
        if network.name in is_on or (network.driver == "null" and networking.is_on_none(record)):
            raise Denied(f"endpoint with name {record.name} already exists in network {network.name}")
        if networking.is_on_none(record) or (network.driver == "null" and is_on):
            raise Denied(
                "container cannot be connected to multiple networks with one of the networks in private (none) mode"
            )
        wanted = networking.read_settings(settings)
        spec = networking.endpoint_spec(ground, record, network.name, wanted)
        if network.driver == "null":
            await ground.networking.release(record.id)  # of the networks that it was on between
        elif live.task is None:
            ground.networking.check(network.name, spec)
        else:
            sandbox = networking.TaskSandbox(record.id, live.task)
            endpoint = await ground.networking.connect(network.name, record.id, sandbox, spec)
            etc.joined(ground, record, endpoint)
        record.endpoints = record.endpoints | {network.name: wanted}
        record.left_networks = [name for name in record.left_networks if name != network.name]
        ground.roster.save(live)
        return record.id


async def disconnect(ground: Ground, name: str, network: Network, *, force: bool) -> str:
    """Take a network away; with ``force`` also from what is no container any more."""
    try:
        live = ground.roster.find(name)
    except NotFound:
        if not force:
            raise
        try:
            await ground.networking.disconnect(network.name, name, None)
        except NotFound:
            raise NotFound(f"endpoint {name} not found") from None
        return name
    async with live.lock:
        record = live.record
        if network.driver == "host" and record.network_mode == "host":
            raise Denied("container cannot be disconnected from host network or connected to host network")
        is_on = networking.wanted(record)
        if network.name not in is_on and not (network.driver == "null" and networking.is_on_none(record)):
            the = "" if live.task is not None else "the "
            raise Denied(f"container {record.id} is not connected to {the}network {network.name}")
        if live.task is not None and network.driver != "null":
            sandbox = networking.TaskSandbox(record.id, live.task)
            etc.left(ground, record, await ground.networking.disconnect(network.name, record.id, sandbox))
        record.endpoints = {key: value for key, value in record.endpoints.items() if key != network.name}
        record.left_networks = [*record.left_networks, network.name]
        ground.roster.save(live)
        return record.id


async def settle(ground: Ground, live: Live, sandbox: networking.TaskSandbox) -> None:
    """After a daemon restart: what a kill cut short between the network's records and the container's.

    A connection that the container does not know of yet was never answered: it is undone.  One that the network has
    forgotten was on its way out: it is finished.
    """
    record = live.record
    known: dict[str, str] = {}  # network's id to the name that the container has for it
    for name in networking.wanted(record):
        with contextlib.suppress(NotFound):
            known[ground.networking.get(name).id] = name
    present = {endpoint.network_id for endpoint in ground.networking.endpoints_of(record.id)}
    for network_id in present - set(known):
        await ground.networking.disconnect(network_id, record.id, sandbox)
    gone = [name for network_id, name in known.items() if network_id not in present]
    if gone:
        record.endpoints = {name: value for name, value in record.endpoints.items() if name not in gone}
        record.left_networks = [*record.left_networks, *gone]
        ground.roster.save(live)
