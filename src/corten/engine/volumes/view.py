"""Volumes as the API prints them, and which of them a filter keeps.  Pure over volumes' records."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from corten.api import patterns
from corten.api.filters import Filters
from corten.api.times import rfc3339
from corten.volumes.model import Volume

LIST_FILTERS = frozenset({"dangling", "driver", "label", "name"})
PRUNE_FILTERS = frozenset({"label", "label!", "all"})
ANONYMOUS = "com.docker.volume.anonymous"


def volume(value: Volume) -> dict[str, Any]:
    """All about one volume."""
    return {
        "CreatedAt": rfc3339(int(value.created)),
        "Driver": value.driver,
        "Labels": dict(value.labels) or None,
        "Mountpoint": str(value.mountpoint),
        "Name": value.name,
        "Options": dict(value.options) or None,
        "Scope": "local",
    }


def keep(volumes: Iterable[Volume], filters: Filters, in_use: Collection[str]) -> list[Volume]:
    """The volumes that the filters of a list keep; raises Invalid in dockerd's words."""
    filters.only(LIST_FILTERS)
    dangling = filters.flag("dangling", False) if "dangling" in filters else None
    return [
        item
        for item in volumes
        if filters.exact("driver", item.driver)
        and patterns.fits(filters, "name", item.name)
        and filters.labels(item.labels)
        and (dangling is None or (item.name not in in_use) == dangling)
    ]
