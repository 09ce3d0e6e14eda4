"""Ports of a running container, published and withdrawn: ``corten update --publish-add`` and ``--publish-rm``.

Owns: which of a container's bindings a wish means, and the order in which network and record follow.  Not Docker's:
there a port is published once and for all.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from corten.engine.containers import networking, options
from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Live
from corten.engine.containers.model import Container
from corten.errors import Conflict, NotFound
from corten.network.model import PortBinding

Bindings = dict[str, list[dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a container's ports."""

    bindings: Bindings  # the record's PortBindings afterwards
    added: Bindings
    removed: tuple[PortBinding, ...]  # of those that are published now


def plan(
    record: Container, published: Sequence[PortBinding], add: Mapping[str, Any], remove: Mapping[str, Any]
) -> Change:
    """Read a wish; raises Invalid, Conflict, and NotFound for what is not published."""
    if not networking.has_own_network(record):
        raise Conflict("conflicting options: port publishing and the container type network mode")
    kept: Bindings = {port: list(items) for port, items in record.host_config["PortBindings"].items()}
    if record.host_config["PublishAllPorts"]:  # from now on by name, so that one of them can go
        kept |= {port: [_ANY] for port in record.config["ExposedPorts"] or () if port not in kept}
    live = list(published)
    gone: list[PortBinding] = []
    for port, wishes in options.port_bindings(remove).items():
        for wish in wishes:
            networking.binding(port, wish["HostIp"], wish["HostPort"])  # raises Invalid
            met = _withdraw(port, wish, kept, live, is_running=record.is_running)
            live = [each for each in live if each not in met]
            gone += met
    added = options.port_bindings(add)
    for port, items in added.items():
        kept[port] = [*kept.get(port, []), *items]
        for item in items:
            networking.binding(port, item["HostIp"], item["HostPort"])
    return Change({port: items for port, items in kept.items() if items}, added, tuple(gone))


_ANY = {"HostIp": "", "HostPort": ""}


def _withdraw(
    port: str, wish: Mapping[str, str], kept: Bindings, live: Sequence[PortBinding], *, is_running: bool
) -> list[PortBinding]:
    """Take what a wish means out of ``kept``; gives the published bindings that go with it."""
    items = kept.get(port, [])
    met: list[PortBinding] = []
    matched = []
    for item in items:
        if not _is_address(wish["HostIp"], item["HostIp"]):
            continue
        ours = _of_item(port, item, items, [each for each in live if each not in met])
        if wish["HostPort"]:
            numbers = {str(each.host_port) for each in ours} if is_running else set()
            if wish["HostPort"] not in (item["HostPort"], *numbers):
                continue
            ours = [each for each in ours if wish["HostPort"] in (item["HostPort"], str(each.host_port))]
        matched.append(item)
        met += ours
    if not matched:
        host = ":".join(filter(None, (wish["HostIp"], wish["HostPort"], port)))
        raise NotFound(f"port {host} is not published")
    kept[port] = [item for item in items if not any(item is each for each in matched)]
    return met


def _of_item(
    port: str, item: Mapping[str, str], items: Sequence[Mapping[str, str]], live: Sequence[PortBinding]
) -> list[PortBinding]:
    """The published bindings that one item of PortBindings has led to."""
    number, _, protocol = port.partition("/")
    mine = [each for each in live if (str(each.container_port), each.protocol) == (number, protocol)]
    mine = [each for each in mine if not item["HostIp"] or _is_address(item["HostIp"], each.host_ip)]
    if item["HostPort"]:
        first, _, last = item["HostPort"].partition("-")
        return [each for each in mine if int(first) <= each.host_port <= int(last or first)]
    fixed = {other["HostPort"] for other in items if other["HostPort"]}
    free = [each for each in mine if str(each.host_port) not in fixed]
    # One item is one number, on one or two addresses; of several items without a number each is as good as the other.
    return [each for each in free if each.host_port == free[0].host_port] if len(items) > 1 else free


def _is_address(wanted: str, other: str) -> bool:
    """Whether an address is the one that a wish names; a wish without an address means each."""
    return not wanted or (bool(other) and ip_address(wanted) == ip_address(other))


async def apply(ground: Ground, live: Live, change: Change) -> None:
    """Publish and withdraw, now if the container runs; written down in one piece, so a crash leaves all or nothing."""
    record = live.record

    def write() -> None:
        before = record.config, record.host_config
        exposed = dict.fromkeys(itertools.chain(record.config["ExposedPorts"] or (), change.added))
        record.config = {**record.config, "ExposedPorts": {port: {} for port in exposed} or None}
        record.host_config = {**record.host_config, "PortBindings": change.bindings, "PublishAllPorts": False}
        try:
            ground.roster.save(live)
        except BaseException:
            record.config, record.host_config = before
            raise

    if live.task is None:
        write()
        return
    added = networking.bindings_of(change.added, ground.settings.default_host_ip)
    await ground.networking.exchange(record.id, record.name, change.removed, added, write)
