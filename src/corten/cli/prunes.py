"""The prune requests and what they tell; one for each kind of thing, and ``system prune`` uses them all.

Owns: parameters and the report.  Each gives the bytes that were freed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corten.cli.output import sizes
from corten.client.session import Session

Filters = Mapping[str, Mapping[str, bool]]


def containers(session: Session, filters: Filters) -> int:
    """Stopped containers."""
    answer = session.post("/containers/prune", {"filters": filters})
    _list("Deleted Containers:", answer.get("ContainersDeleted"))
    return int(answer.get("SpaceReclaimed") or 0)


def networks(session: Session, filters: Filters) -> int:
    """Networks without containers."""
    answer = session.post("/networks/prune", {"filters": filters})
    _list("Deleted Networks:", answer.get("NetworksDeleted"))
    return 0


def volumes(session: Session, filters: Filters, *, every: bool = False) -> int:
    """Volumes without containers: those that were given no name, or every one."""
    wanted: dict[str, Any] = {**filters, **({"all": {"true": True}} if every else {})}
    answer = session.post("/volumes/prune", {"filters": wanted})
    _list("Deleted Volumes:", answer.get("VolumesDeleted"))
    return int(answer.get("SpaceReclaimed") or 0)


def images(session: Session, filters: Filters, *, every: bool) -> int:
    """Images without a name, or every one without a container."""
    wanted = {**filters, "dangling": {"false" if every else "true": True}}
    answer = session.post("/images/prune", {"filters": wanted})
    deleted = answer.get("ImagesDeleted") or ()
    lines = [
        f"deleted: {item['Deleted']}" if "Deleted" in item else f"untagged: {item['Untagged']}" for item in deleted
    ]
    _list("Deleted Images:", lines)
    return int(answer.get("SpaceReclaimed") or 0)


def build_cache(session: Session, filters: Filters, *, every: bool, keep: int = 0) -> int:
    """Build cache that nothing uses."""
    query = {"all": every, "filters": filters, "keep-storage": keep or None, "reserved-space": keep or None}
    answer = session.post("/build/prune", query)
    _list("Deleted build cache objects:", answer.get("CachesDeleted"))
    return int(answer.get("SpaceReclaimed") or 0)


def _list(title: str, lines: list[str] | None) -> None:
    if lines:
        print("\n".join([title, *lines, ""]))


def total(size: int) -> None:
    """The last line."""
    print(f"Total reclaimed space: {sizes.human(size, 4)}")
