"""What a container has written: ``docker diff`` and the sizes of ``ps -s``."""

from __future__ import annotations

import asyncio
from typing import Any

from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Live
from corten.engine.containers.lower import ETC_FILES
from corten.errors import CortenError
from corten.store.snapshots.base import Usage

_KINDS = {"C": 0, "A": 1, "D": 2}
_GENERATED = frozenset({"/.dockerenv", "/etc/mtab", *(f"/etc/{name}" for name in ETC_FILES)})
# Made where the image has none; what is beneath them is never the writable layer's.
_MOUNT_POINTS = frozenset({"/dev", "/dev/console", "/dev/pts", "/dev/shm", "/proc", "/sys"})


async def changes(ground: Ground, live: Live) -> list[dict[str, Any]]:
    """Path and kind (0 changed, 1 added, 2 deleted) of everything that differs from the image."""
    key = live.record.id
    found = await ground.workers.changes(ground.snapshots.upper(key), ground.snapshots.lowers(key))
    return without_etc([{"Path": _path(change.path), "Kind": _KINDS[str(change.kind)]} for change in found])


def without_etc(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what is not the container's doing: /.dockerenv, /etc/mtab, and what others are mounted on.

    With them goes /etc, if nothing else changed there.
    """
    kept = [item for item in found if item["Path"] not in _GENERATED and not _is_mount_point(item)]
    if len(kept) < len(found) and not any(item["Path"].startswith("/etc/") for item in kept):
        kept = [item for item in kept if item["Path"] != "/etc" or item["Kind"] != _KINDS["C"]]
    return kept


def _is_mount_point(item: dict[str, Any]) -> bool:
    return item["Path"] in _MOUNT_POINTS and item["Kind"] == _KINDS["A"]


def _path(path: str) -> str:
    return "/" + path.lstrip("/")


async def writable_size(ground: Ground, live: Live) -> int:
    """Bytes of its own writable layer."""
    try:
        usage: Usage = await asyncio.to_thread(ground.snapshots.usage, live.record.id)
    except CortenError:
        return 0
    return usage.size


async def sizes(ground: Ground, live: Live) -> dict[str, int]:
    """``SizeRw`` and ``SizeRootFs``."""
    own = await writable_size(ground, live)
    try:
        image = ground.images.find(live.record.image_id).size
    except CortenError:
        image = 0
    return {"SizeRw": own, "SizeRootFs": own + image}
