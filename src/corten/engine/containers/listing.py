"""``docker ps``: which containers, in which order, in a line each.

Owns: every filter of the list and of prune, the words of the status column, the summary document.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from corten.api import patterns
from corten.api.ages import human
from corten.api.filters import Filters
from corten.api.version import ApiVersion
from corten.engine.containers import links, networking, view
from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Live
from corten.engine.containers.model import Container
from corten.engine.containers.status import Status
from corten.errors import CortenError, Invalid, NotFound

FILTERS = frozenset(
    {
        "ancestor",
        "before",
        "exited",
        "expose",
        "health",
        "id",
        "isolation",
        "is-task",
        "label",
        "label!",
        "name",
        "network",
        "publish",
        "since",
        "status",
        "volume",
    }
)


def select(ground: Ground, filters: Filters, *, show_all: bool = False, limit: int | None = None) -> list[Live]:
    """The containers that a list keeps, the newest first."""
    filters.only(FILTERS)
    _check(filters)
    newest = sorted(ground.roster, key=lambda live: live.record.created, reverse=True)
    # docker: a limit, or a filter by status or order, shows stopped containers too.
    everything = show_all or bool(limit) or any(name in filters for name in ("status", "exited", "before", "since"))
    before = _created(ground, filters, "before")
    since = _created(ground, filters, "since")
    ancestors = _ancestors(ground, filters)
    found = [
        live
        for live in newest
        if (everything or live.record.is_active)
        and (before is None or live.record.created < before)
        and (since is None or live.record.created > since)
        and (ancestors is None or live.record.image_id in ancestors)
        and _fits(ground, live.record, filters)
    ]
    return found[:limit] if limit and limit > 0 else found


def _check(filters: Filters) -> None:
    for value in filters.get("status"):
        if value not in list(Status):
            words = "created, restarting, running, removing, paused, exited, or dead"
            raise Invalid(f"invalid filter 'status={value}': must be one of {words}")
    for value in filters.get("health"):
        if value not in ("starting", "healthy", "unhealthy", "none"):
            raise Invalid(f"invalid filter 'health={value}': must be one of starting, healthy, unhealthy, none")
    for value in filters.get("exited"):
        if not value.lstrip("-").isdecimal():
            raise Invalid(f"invalid filter 'exited={value}'")
    if "is-task" in filters and filters.flag("is-task", False) is None:
        raise Invalid("invalid filter 'is-task'")


def _created(ground: Ground, filters: Filters, name: str) -> float | None:
    values = filters.get(name)
    return ground.roster.find(values[0]).record.created if values else None


def _ancestors(ground: Ground, filters: Filters) -> set[str] | None:
    """The ids of the images named and of their descendants."""
    names = filters.get("ancestor")
    if not names:
        return None
    chains = []
    for name in names:
        try:
            chains.append(ground.images.find(name).config.diff_ids)
        except NotFound:
            continue
    found = set()
    for live in ground.roster:
        try:
            layers = ground.images.find(live.record.image_id).config.diff_ids
        except CortenError:
            continue
        if any(layers[: len(chain)] == chain for chain in chains):
            found.add(live.record.image_id)
    return found


def _fits(ground: Ground, record: Container, filters: Filters) -> bool:
    health = record.state.health.status if record.state.health else "none"
    return (
        filters.exact("status", str(record.state.status))
        and filters.exact("health", health)
        and (patterns.fits(filters, "name", record.name) or patterns.fits(filters, "name", f"/{record.name}"))
        and filters.prefix("id", record.id)
        and filters.labels(record.labels)
        and _fits_exit(record, filters)
        and _fits_mounts(record, filters)
        and _fits_network(ground, record, filters)
        and _fits_ports(ground, record, filters)
        and not filters.flag("is-task", False)
        and filters.exact("isolation", record.host_config["Isolation"] or "default")
    )


def _fits_exit(record: Container, filters: Filters) -> bool:
    if "exited" not in filters:
        return True
    return (
        not record.is_active
        and record.state.finished_at is not None
        and filters.exact("exited", str(record.state.exit_code))
    )


def _fits_mounts(record: Container, filters: Filters) -> bool:
    places = (place for point in record.mounts for place in (point.destination, point.name, point.source))
    return filters.any_of("volume", places)


def _fits_network(ground: Ground, record: Container, filters: Filters) -> bool:
    if "network" not in filters:
        return True
    names = set(view.endpoints(ground, record))
    for name in tuple(names):
        try:
            names.add(ground.networking.get(name).id)
        except CortenError:
            continue
    wanted = filters.get("network")
    return any(name in wanted or any(len(w) > 3 and name.startswith(w) for w in wanted) for name in names)


def _fits_ports(ground: Ground, record: Container, filters: Filters) -> bool:
    if "publish" in filters:
        published = {f"{item.host_port}/{item.protocol}" for item in ground.networking.published(record.id)}
        published |= {f"{item.container_port}/{item.protocol}" for item in ground.networking.published(record.id)}
        if not _ports(filters.get("publish")) & published:
            return False
    if "expose" in filters:
        return bool(_ports(filters.get("expose")) & set(record.config["ExposedPorts"] or ()))
    return True


def _ports(values: Iterable[str]) -> set[str]:
    """``80``, ``8000-8010/udp`` as ports with protocols."""
    found = set()
    for value in values:
        numbers, _, protocol = value.partition("/")
        first, _, last = numbers.partition("-")
        if not all(
            number.isdecimal() and len(number) < 6 and int(number) < 1 << 16 for number in (first, last or first)
        ):
            raise Invalid(f"invalid filter 'publish={value}'")
        found |= {f"{number}/{protocol or 'tcp'}" for number in range(int(first), int(last or first) + 1)}
    return found


def summary(ground: Ground, live: Live, version: ApiVersion) -> dict[str, Any]:
    """A line of the list."""
    record = live.record
    mode = record.network_mode
    return {
        "Id": record.id,
        "Names": [f"/{record.name}", *links.names_of(ground, record)],
        "Image": _image_name(ground, record),
        "ImageID": record.image_id,
        "Command": _command(record),
        "Created": int(record.created),
        "Ports": _summary_ports(ground, record),
        "Labels": record.labels,
        "State": str(record.state.status),
        "Status": status_text(record, time.time()),
        "HostConfig": {"NetworkMode": mode},
        "NetworkSettings": {"Networks": view.endpoints(ground, record)},
        "Mounts": [view.mount_point(point) for point in record.mounts],
    } | view.image_manifest(record, version)


def _image_name(ground: Ground, record: Container) -> str:
    """docker: the id once the name means another image."""
    try:
        is_meant = str(ground.images.find(record.image_name).id) == record.image_id
        if not is_meant:  # it may be that of another platform
            platform = ground.images.find(record.image_id).config.platform
            other = ground.images.find_for(record.image_name, platform)
            is_meant = other is not None and str(other.id) == record.image_id
    except CortenError:
        return record.image_id or record.image_name
    return record.image_name if is_meant else record.image_id


def _command(record: Container) -> str:
    words = record.entrypoint
    return " ".join([words[0], *(f"'{word}'" if " " in word else word for word in words[1:])]) if words else ""


def _summary_ports(ground: Ground, record: Container) -> list[dict[str, Any]]:
    if not record.is_active:
        return []
    published = ground.networking.published(record.id) if networking.has_own_network(record) else []
    shown: list[dict[str, Any]] = [
        {
            "IP": binding.host_ip or "0.0.0.0",
            "PrivatePort": binding.container_port,
            "PublicPort": binding.host_port,
            "Type": binding.protocol,
        }
        for binding in published
    ]
    bound = {(item.container_port, item.protocol) for item in published}
    for port in record.config["ExposedPorts"] or ():
        number, _, protocol = port.partition("/")
        first = number.partition("-")[0]
        if (int(first), protocol or "tcp") not in bound:
            shown.append({"PrivatePort": int(first), "Type": protocol or "tcp"})
    return shown


def status_text(record: Container, now: float) -> str:
    """``Up 2 minutes (healthy)``, ``Exited (0) 3 hours ago``."""
    state = record.state
    match state.status:
        case Status.CREATED:
            return "Created"
        case Status.RESTARTING:
            return f"Restarting ({state.exit_code}) {human(now - (state.finished_at or now))} ago"
        case Status.REMOVING:
            return "Removal In Progress"
        case Status.DEAD:
            return "Dead"
        case Status.EXITED:
            return f"Exited ({state.exit_code}) {human(now - (state.finished_at or record.created))} ago"
    text = f"Up {human(now - (state.started_at or now))}"
    if state.status is Status.PAUSED:
        return f"{text} (Paused)"
    if state.health is not None:
        words = "health: starting" if state.health.status == "starting" else state.health.status
        return f"{text} ({words})"
    return text
