"""Operations on volumes as the API offers them.

Owns: reading requests, the events, what prune takes.  For references, data and mounts read volumes/service.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from corten.api.filters import Filters
from corten.engine.events import Events
from corten.engine.volumes import view
from corten.errors import CortenError, Invalid
from corten.volumes.model import ANONYMOUS_LABEL, Volume
from corten.volumes.service import Volumes


class VolumeService:
    """All volumes, by Docker's rules."""

    def __init__(self, volumes: Volumes, events: Events) -> None:
        self._volumes = volumes
        self._events = events

    def list(self, filters: Filters) -> dict[str, Any]:
        """Those that the filters keep."""
        volumes = sorted(self._volumes.all(), key=lambda item: item.name)
        in_use = {item.name for item in volumes if self._volumes.references(item.name)}
        kept = view.keep(volumes, filters, in_use)
        return {"Volumes": [view.volume(item) for item in kept], "Warnings": None}

    def inspect(self, name: str) -> dict[str, Any]:
        """One volume; raises NotFound."""
        return view.volume(self._volumes.get(name))

    async def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Make a volume, or give the one of that name if it has the same driver."""
        if body.get("ClusterVolumeSpec"):
            raise Invalid("cluster volumes need a swarm, and this node is not part of one")
        volume, is_new = await self._volumes.create(
            _text(body, "Name") or None,
            _text(body, "Driver") or "local",
            _texts(body, "DriverOpts"),
            _texts(body, "Labels"),
        )
        if is_new:
            self._publish("create", volume)
        return view.volume(volume)

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Delete a volume and its data; refused while a container refers to it."""
        driver = next((item.driver for item in self._volumes.all() if item.name == name), None)
        await self._volumes.remove(name, force=force)
        if driver is not None:
            self._events.publish("volume", "destroy", name, {"driver": driver})

    async def usage(self) -> Sequence[dict[str, Any]]:
        """Every local volume with its size and how many containers refer to it."""
        rows = []
        for item in sorted(self._volumes.all(), key=lambda item: item.name):
            if item.options:
                continue  # docker: volumes with mount options are not data of this host
            used = await self._volumes.usage(item.name)
            usage = {"RefCount": used.references, "Size": used.size}
            rows.append(view.volume(item) | {"UsageData": usage})
        return rows

    async def prune(self, filters: Filters, *, takes_named: bool = False) -> tuple[Sequence[str], int]:
        """Delete what no container refers to: the anonymous ones, or with ``all`` every one; names and bytes."""
        filters.only(view.PRUNE_FILTERS)
        if len(filters.get("all")) > 1:
            raise Invalid(f"invalid filter 'all={list(filters.get('all'))}': only one value is expected")
        takes_named = takes_named or filters.flag("all", False)
        gone, reclaimed = [], 0
        for item in self._volumes.all():
            if item.options or self._volumes.references(item.name) or not filters.labels(item.labels):
                continue
            if not takes_named and ANONYMOUS_LABEL not in item.labels:
                continue
            used = await self._volumes.usage(item.name)
            try:
                await self.remove(item.name)
            except CortenError:
                continue  # somebody took it in between
            gone.append(item.name)
            reclaimed += used.size
        self._events.publish("volume", "prune", "", {"reclaimed": str(reclaimed)})
        return gone, reclaimed

    def _publish(self, action: str, volume: Volume) -> None:
        self._events.publish("volume", action, volume.name, {"driver": volume.driver})


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise Invalid(f"invalid JSON: {name} must be a string")
    return value or ""


def _texts(body: Mapping[str, Any], name: str) -> dict[str, str]:
    value = body.get(name) or {}
    if not isinstance(value, Mapping) or not all(isinstance(item, str) for item in value.values()):
        raise Invalid(f"invalid JSON: {name} must be an object of strings")
    return dict(value)
