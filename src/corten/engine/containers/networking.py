"""A container's networks: what its record asks for, given to ``network.Networking`` in the right order.

Owns: the reading of NetworkMode, EndpointsConfig, PortBindings and ExposedPorts; the events of connecting.  The files
that say it inside are in ``etc.py``; addresses, links and rules are made below, in ``network/``.

    reserve()    before anything starts: ports and addresses, so that /etc/hosts can be written
    plug()       between the task's create and its start
    release()    after the end; links go with the namespace
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from corten.api.types import fields
from corten.api.types.parts import ENDPOINT, ENDPOINT_IPAM
from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Live
from corten.engine.containers.model import Container
from corten.errors import Conflict, CortenError, Invalid, NotFound
from corten.network.model import Endpoint, EndpointSpec, PortBinding
from corten.supervisor.service import Task

NONE = "none"


class TaskSandbox:
    """A task as the network package sees it: a way into one network namespace."""

    def __init__(self, container_id: str, task: Task) -> None:
        self.container_id = container_id
        self._task = task

    def netns_fd(self) -> int:
        """An owned descriptor of the namespace."""
        return self._task.netns_fd()

    async def sockets(self, wanted: Sequence[tuple[int, int, int]]) -> list[socket.socket]:
        """Sockets made inside."""
        return await asyncio.gather(*(self._socket(*each) for each in wanted))

    async def _socket(self, family: int, kind: int, protocol: int) -> socket.socket:
        if (family, protocol) == (socket.AF_NETLINK, 0):
            return await self._task.netlink()  # init has made one in advance
        return await self._task.socket(family, kind, protocol)


def may_join(record: Container) -> bool:
    """False for a container in the host's network or another's."""
    mode = record.network_mode
    return mode != "host" and not mode.startswith("container:") and not record.config["NetworkDisabled"]


def is_on_none(record: Container) -> bool:
    """On the network ``none``: by its mode until it is disconnected, or connected to it since."""
    return may_join(record) and NONE in (record.network_mode, *record.endpoints) and NONE not in record.left_networks


def has_own_network(record: Container) -> bool:
    """False for host, another container's network, and what was never anywhere but on ``none``."""
    return may_join(record) and (record.network_mode != NONE or NONE in record.left_networks)


def wanted(record: Container) -> dict[str, dict[str, Any]]:
    """Network name to the EndpointSettings asked for, the one of NetworkMode first; ``none`` is nothing to make."""
    if not may_join(record):
        return {}
    names: dict[str, dict[str, Any]] = {record.network_mode: {}}
    names |= record.endpoints
    return {name: settings for name, settings in names.items() if name not in (NONE, *record.left_networks)}


def check(ground: Ground, record: Container) -> None:
    """Raise, at create, what its network requests would raise at start; missing networks are told then."""
    bindings(record, ground.settings.default_host_ip)
    for name, settings in wanted(record).items():
        spec = endpoint_spec(ground, record, name, settings)
        try:
            ground.networking.check(name, spec)
        except NotFound:
            continue


async def reserve(ground: Ground, live: Live) -> list[Endpoint]:
    """Take the host ports and the addresses."""
    record = live.record
    names = wanted(record)
    if not names:
        return []
    if bound := bindings(record, ground.settings.default_host_ip):
        await ground.networking.reserve(record.id, record.name, bound)
    found = []
    for name, settings in names.items():
        endpoint = await ground.networking.connect(name, record.id, None, endpoint_spec(ground, record, name, settings))
        found.append(endpoint)
    return found


async def plug(ground: Ground, live: Live, task: Task) -> None:
    """Plug the interfaces in and lead the published ports there."""
    record = live.record
    if not has_own_network(record):
        return
    endpoints = await ground.networking.plug(record.id, TaskSandbox(record.id, task))
    if bound := bindings(record, ground.settings.default_host_ip):
        await ground.networking.publish(record.id, record.name, bound)
    for endpoint in endpoints:
        tell(ground, live, "connect", endpoint)


async def release(ground: Ground, live: Live) -> None:
    """Give everything back."""
    record = live.record
    if not has_own_network(record):
        return
    endpoints = ground.networking.endpoints_of(record.id)
    await ground.networking.release(record.id)
    for endpoint in endpoints:
        tell(ground, live, "disconnect", endpoint)


def tell(ground: Ground, live: Live, action: str, endpoint: Endpoint) -> None:
    """The network's event about a container."""
    driver = ground.networking.get(endpoint.network_id).driver
    attributes = {"container": live.record.id, "name": endpoint.network_name, "type": driver}
    ground.events.publish("network", action, endpoint.network_id, attributes)


def read_settings(settings: Any) -> dict[str, Any]:
    """EndpointSettings of a request, none being empty ones; raises Invalid."""
    if settings is None:
        return {}
    fields.check(settings, ENDPOINT, "EndpointSettings")
    fields.check(settings.get("IPAMConfig") or {}, ENDPOINT_IPAM, "EndpointIPAMConfig")
    return dict(settings)


def endpoint_spec(ground: Ground, record: Container, network: str, settings: dict[str, Any]) -> EndpointSpec:
    """EndpointSettings as the network package wants them."""
    ipam = settings.get("IPAMConfig") or {}
    is_first = network == record.network_mode
    # docker: a link of --link must exist; one of an endpoint is a name that may come to exist.
    links = [_later_link(ground, text) for text in settings.get("Links") or ()]
    links += [_link(ground, text) for text in record.host_config["Links"] or () if is_first]
    mac = settings.get("MacAddress") or (record.config["MacAddress"] if is_first else "") or ""
    return EndpointSpec(
        container_name=record.name,
        ipv4=str(ipam.get("IPv4Address") or ""),
        ipv6=str(ipam.get("IPv6Address") or ""),
        mac=str(mac),
        aliases=tuple(dict.fromkeys(settings.get("Aliases") or ())),
        links=tuple(links),
        gw_priority=int(settings.get("GwPriority") or 0),
        driver_opts=settings.get("DriverOpts") or {},
        hostname=hostname(record),
        dns=tuple(record.host_config["Dns"] or ground.settings.dns),
    )


def _later_link(ground: Ground, text: str) -> tuple[str, str]:
    try:
        return _link(ground, text)
    except NotFound:
        name, _, alias = text.partition(":")
        return name, alias.rpartition("/")[2] or name


def _link(ground: Ground, text: str) -> tuple[str, str]:
    name, _, alias = text.partition(":")
    try:
        other = ground.roster.find(name).record.name
    except NotFound as error:
        raise NotFound(f"could not get container for {name}: {error.message}") from None
    return other, alias.rpartition("/")[2] or other


def bindings(record: Container, default_ip: str = "") -> list[PortBinding]:
    """The host ports that the record asks for, those of ``-P`` included; raises Invalid."""
    host = record.host_config
    if not has_own_network(record):
        return []
    found = bindings_of(host["PortBindings"], default_ip)
    if host["PublishAllPorts"]:
        exposed = record.config["ExposedPorts"] or ()
        found.extend(binding(port, default_ip, "") for port in exposed if port not in host["PortBindings"])
    return found


def bindings_of(given: Mapping[str, Sequence[Mapping[str, str]]], default_ip: str = "") -> list[PortBinding]:
    """PortBindings of the API as the network package wants them."""
    return [
        binding(port, item["HostIp"] or default_ip, item["HostPort"]) for port, items in given.items() for item in items
    ]


def binding(port: str, host_ip: str, host_port: str) -> PortBinding:
    """One of them; raises Invalid."""
    number, _, protocol = port.partition("/")
    first, _, last = host_port.partition("-")
    found = PortBinding(
        container_port=int(number.partition("-")[0]),
        protocol=(protocol or "tcp").lower(),
        host_ip=host_ip,  # docker: 0.0.0.0 is every IPv4 address; none at all is those of IPv6 too
        host_port=int(first or 0),
        host_port_end=int(last or 0),
    )
    found.validate()
    return found


def hostname(record: Container) -> str:
    """As asked for, else the short id; the host's own with its UTS or network namespace."""
    if record.config["Hostname"]:
        return str(record.config["Hostname"])
    if record.network_mode == "host" or record.host_config["UTSMode"] == "host":
        return socket.gethostname()
    return record.short_id


def shared_with(ground: Ground, record: Container, field: str) -> Live | None:
    """The container whose namespace is joined by ``container:…``; raises NotFound, Conflict if it does not run."""
    mode = str(record.host_config[field])
    if not mode.startswith("container:"):
        return None
    other = ground.roster.find(mode.removeprefix("container:"))
    if other.record.id == record.id:
        raise Invalid(f"cannot join own {field.removesuffix('Mode').lower()} namespace")
    if field == "IpcMode" and not other.record.is_running:
        raise Conflict(f"can't join IPC of container {other.record.id}: container {other.record.id} is not running")
    if not other.record.is_running:
        word = {"NetworkMode": "network", "PidMode": "PID"}[field]
        raise Conflict(f"cannot join {word} namespace of a non running container: {other.record.id}")
    return other


def host_gateway(ground: Ground) -> str:
    """The host as containers of the default bridge reach it; "" where there is none."""
    if ground.settings.host_gateway_ip:
        return ground.settings.host_gateway_ip
    try:
        gateway = ground.networking.get("bridge").subnets(4)[0].gateway
    except (CortenError, IndexError):
        gateway = None
    return str(gateway) if gateway is not None else ""
