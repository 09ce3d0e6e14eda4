"""Changing a container that exists: limits, restart policy, name.

Owns: what ``docker update`` and ``docker rename`` may change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corten.api.types import fields
from corten.api.types.containers import RESOURCES, UPDATE
from corten.engine import names
from corten.engine.containers import options, publishing, resources
from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Live
from corten.engine.containers.model import Container
from corten.engine.containers.status import Status
from corten.errors import Conflict, Internal, Invalid

_NOT_UPDATABLE = frozenset(
    {"Devices", "DeviceCgroupRules", "DeviceRequests", "Ulimits", "CgroupParent", "OomKillDisable"}
)


async def update(ground: Ground, live: Live, body: Mapping[str, Any]) -> list[str]:
    """Change limits and the restart policy, of a running container at once; returns warnings."""
    async with live.lock:
        record = live.record
        if record.state.status in (Status.REMOVING, Status.DEAD):
            raise Conflict(
                f'Cannot update container {record.id}: Container is marked for removal and cannot be "update".'
            )
        given = fields.read(body, UPDATE, "UpdateConfig")
        host = dict(record.host_config)
        for name in RESOURCES:
            # Zero means "leave it": the API has no other way to say so.
            if name not in _NOT_UPDATABLE and given[name] not in (None, 0, "", []):
                host[name] = given[name]
        _check_conflicts(record, given)
        if given["PidsLimit"] is not None and given["PidsLimit"] <= 0:
            host["PidsLimit"] = None
        resources.check(host)
        if (policy := given["RestartPolicy"]) and policy.get("Name"):
            if record.auto_remove and policy["Name"] != "no":
                raise Conflict("Restart policy cannot be updated because AutoRemove is enabled for the container")
            host["RestartPolicy"] = options.restart_policy(policy)
        if given["PublishAdd"] or given["PublishRemove"]:
            published = ground.networking.published(record.id)
            change = publishing.plan(record, published, given["PublishAdd"], given["PublishRemove"])
            await publishing.apply(ground, live, change)
            host |= {name: record.host_config[name] for name in ("PortBindings", "PublishAllPorts")}
        if live.task is not None:
            wanted = resources.lower(host)
            if host["PidsLimit"] is None and record.host_config["PidsLimit"]:
                wanted["pids"] = {"limit": -1}
            try:
                await live.task.update(wanted)
            except Internal as failure:
                raise Internal(f"Cannot update container {record.id}: {failure.message}") from failure
        record.host_config = host
        ground.roster.save(live)
        ground.publish(live, "update")
    return []


def _check_conflicts(record: Container, given: Mapping[str, Any]) -> None:
    """What does not go with what is set already, in dockerd's words."""
    host = record.host_config
    words = ""
    if given["NanoCpus"] and host["CpuPeriod"]:
        words = "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set"
    elif given["NanoCpus"] and host["CpuQuota"]:
        words = "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set"
    elif given["CpuPeriod"] and host["NanoCpus"]:
        words = "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set"
    elif given["CpuQuota"] and host["NanoCpus"]:
        words = "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set"
    elif given["Memory"] > 0 and not given["MemorySwap"] and 0 < host["MemorySwap"] < given["Memory"]:
        words = (
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        )
    if words:
        raise Conflict(f"Cannot update container {record.id}: {words}")


async def rename(ground: Ground, live: Live, name: str) -> None:
    """Give another name; raises Conflict if it is taken."""
    if not name:
        raise Invalid("Neither old nor new names may be empty")
    bare = names.check_name(name)
    async with live.lock:
        old = live.record.name
        if bare == old:
            raise Invalid("Renaming a container with the same name as its current name")
        ground.roster.reserve(bare, live.record.id)
        live.record.name = bare
        ground.roster.save(live)
        ground.roster.release(old)
        await ground.networking.rename(live.record.id, bare)
        ground.publish(live, "rename", oldName=f"/{old}")
