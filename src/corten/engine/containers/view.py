"""A container as ``inspect`` prints it.

Owns: the document, and which fields older clients get.  Reads the record and the network package's memory; waits for
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corten.api.times import ZERO, rfc3339
from corten.api.types import fields
from corten.api.types.containers import CONFIG, HOST_CONFIG
from corten.api.version import CURRENT, ApiVersion
from corten.engine.containers import bundle, networking
from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Live
from corten.engine.containers.model import Container, MountPoint
from corten.engine.containers.status import Status
from corten.errors import CortenError
from corten.network.model import Endpoint, PortBinding
from corten.store.snapshots.drivers import SHOWN


def inspect(ground: Ground, live: Live, version: ApiVersion = CURRENT) -> dict[str, Any]:
    """All about one container, without sizes."""
    record = live.record
    directory = ground.bundle(record.id)
    command = record.entrypoint
    shown: dict[str, Any] = {
        "Id": record.id,
        "Created": rfc3339(record.created),
        "Path": command[0] if command else "",
        "Args": command[1:],
        "State": state(record),
        "Image": record.image_id,
        "ResolvConfPath": str(directory / "resolv.conf"),
        "HostnamePath": str(directory / "hostname"),
        "HostsPath": str(directory / "hosts"),
        "LogPath": "" if record.log_driver == "none" else str(bundle.log_path(directory, record)),
        "Name": f"/{record.name}",
        "RestartCount": record.restart_count,
        "Driver": SHOWN.get(record.driver, record.driver),
        "Platform": record.platform,
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": sorted(live.exec_ids) or None,
        "HostConfig": fields.show(record.host_config, HOST_CONFIG),
        "GraphDriver": _graph_driver(ground, record),
        "Mounts": [mount_point(point) for point in record.mounts],
        "Config": _config(record, version),
        "NetworkSettings": network_settings(ground, live),
    }
    return shown | image_manifest(record, version)


def image_manifest(record: Container, version: ApiVersion) -> dict[str, Any]:
    """``ImageManifestDescriptor``, where it is known and the client knows of it."""
    is_shown = record.image_manifest is not None and version >= ApiVersion(1, 48)
    return {"ImageManifestDescriptor": record.image_manifest} if is_shown else {}


def _config(record: Container, version: ApiVersion) -> dict[str, Any]:
    shown = fields.show(record.config, CONFIG)
    shown["Hostname"] = networking.hostname(record)
    if shown.get("StopTimeout") is None:
        shown.pop("StopTimeout", None)
    if version < ApiVersion(1, 44):
        shown.setdefault("MacAddress", "")
    return shown


def state(record: Container) -> dict[str, Any]:
    """``State``: the status in one word, the same in booleans, and how it began and ended."""
    now = record.state
    shown: dict[str, Any] = {
        "Status": str(now.status),
        "Running": record.is_active,
        "Paused": now.status is Status.PAUSED,
        "Restarting": now.status is Status.RESTARTING,
        "OOMKilled": now.oom_killed,
        "Dead": now.status is Status.DEAD,
        "Pid": now.pid,
        "ExitCode": now.exit_code,
        "Error": now.error,
        "StartedAt": moment(now.started_at),
        "FinishedAt": moment(now.finished_at),
    }
    if now.health is not None:
        shown["Health"] = {
            "Status": now.health.status,
            "FailingStreak": now.health.failing_streak,
            "Log": list(now.health.log),
        }
    return shown


def moment(at: float | None) -> str:
    """RFC 3339, Go's zero moment for never."""
    return rfc3339(at) if at else ZERO


def _graph_driver(ground: Ground, record: Container) -> dict[str, Any]:
    name = SHOWN.get(record.driver, record.driver)
    try:
        upper = ground.snapshots.upper(record.id)
        lowers = ground.snapshots.lowers(record.id)
    except CortenError:
        return {"Name": name, "Data": None}
    data = {"ID": record.id, "LowerDir": ":".join(map(str, lowers)), "UpperDir": str(upper)}
    return {"Name": name, "Data": data | {"WorkDir": str(upper.parent / "work"), "MergedDir": ""}}


def mount_point(point: MountPoint) -> dict[str, Any]:
    """One of ``Mounts``."""
    shown: dict[str, Any] = {"Type": point.type}
    if point.name:
        shown["Name"] = point.name
    shown |= {"Source": point.source, "Destination": point.destination}
    if point.driver and point.type == "volume":
        shown["Driver"] = point.driver
    return shown | {"Mode": point.mode, "RW": point.rw, "Propagation": point.propagation}


def network_settings(ground: Ground, live: Live) -> dict[str, Any]:
    """``NetworkSettings``, the fields about the default bridge that old clients read included."""
    record = live.record
    networks = endpoints(ground, record)
    first = networks.get("bridge") or {}
    published = ground.networking.published(record.id) if record.is_running else []
    return {
        "Bridge": "",
        "SandboxID": record.id if record.is_running else "",
        "SandboxKey": f"/proc/{record.state.pid}/ns/net" if record.is_running else "",
        "Ports": ports(record, published) if record.is_running else {},
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": first.get("EndpointID", ""),
        "Gateway": first.get("Gateway", ""),
        "GlobalIPv6Address": first.get("GlobalIPv6Address", ""),
        "GlobalIPv6PrefixLen": first.get("GlobalIPv6PrefixLen", 0),
        "IPAddress": first.get("IPAddress", ""),
        "IPPrefixLen": first.get("IPPrefixLen", 0),
        "IPv6Gateway": first.get("IPv6Gateway", ""),
        "MacAddress": first.get("MacAddress", ""),
        "Networks": networks,
    }


def ports(record: Container, published: list[PortBinding]) -> dict[str, Any]:
    """Container port to where it is reached, None for those that are only exposed."""
    shown: dict[str, Any] = dict.fromkeys(record.config["ExposedPorts"] or ())
    for binding in published:
        key = f"{binding.container_port}/{binding.protocol}"
        host = {"HostIp": binding.host_ip or "0.0.0.0", "HostPort": str(binding.host_port)}
        shown[key] = [*(shown.get(key) or ()), host]
    return shown


def endpoints(ground: Ground, record: Container) -> dict[str, dict[str, Any]]:
    """Network name to EndpointSettings: what was asked for, and what was given."""
    mode = record.network_mode
    if mode.startswith("container:"):
        return {}
    if mode == "host" or networking.is_on_none(record):
        name = "host" if mode == "host" else networking.NONE
        return {name: _endpoint({}, None, record, name)}
    given = {endpoint.network_name: endpoint for endpoint in ground.networking.endpoints_of(record.id)}
    return {name: _endpoint(asked, given.get(name), record, name) for name, asked in networking.wanted(record).items()}


def _endpoint(asked: Mapping[str, Any], given: Endpoint | None, record: Container, name: str) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "IPAMConfig": asked.get("IPAMConfig"),
        "Links": asked.get("Links"),
        "Aliases": asked.get("Aliases"),
        "MacAddress": "",
        "DriverOpts": asked.get("DriverOpts"),
        "GwPriority": asked.get("GwPriority") or 0,
        "NetworkID": "",
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": None,
    }
    if given is None:
        return shown | {"MacAddress": asked.get("MacAddress") or ""}
    four, six = given.ipv4, given.ipv6
    return shown | {
        "MacAddress": given.mac,
        "NetworkID": given.network_id,
        "EndpointID": given.id,
        "Gateway": str(given.gateway4 or ""),
        "IPAddress": str(four.ip) if four else "",
        "IPPrefixLen": four.network.prefixlen if four else 0,
        "IPv6Gateway": str(given.gateway6 or ""),
        "GlobalIPv6Address": str(six.ip) if six else "",
        "GlobalIPv6PrefixLen": six.network.prefixlen if six else 0,
        "DNSNames": list(given.dns_names) or None,
    }
