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
_GENERATED = frozenset({"/.dockerenv", *(f"/etc/{name}" for name in ETC_FILES)})


async def changes(ground: Ground, live: Live) -> list[dict[str, Any]]:
    """Path and kind (0 changed, 1 added, 2 deleted) of everything that differs from the image."""
    key = live.record.id
    found = await ground.workers.changes(ground.snapshots.upper(key), ground.snapshots.lowers(key))
    return without_etc([{"Path": _path(change.path), "Kind": _KINDS[str(change.kind)]} for change in found])


def without_etc(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what is not the container's doing: /.dockerenv, and the places on which /etc files are mounted.

    With them goes /etc, if nothing else changed there.
    """
    kept = [item for item in found if item["Path"] not in _GENERATED]
    if len(kept) < len(found) and not any(item["Path"].startswith("/etc/") for item in kept):
        kept = [item for item in kept if item["Path"] != "/etc" or item["Kind"] != _KINDS["C"]]
    return kept


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
