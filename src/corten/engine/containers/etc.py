"""The files of /etc that the engine writes for a container: hosts, hostname and resolv.conf.

Owns: what is in them at the start, and how they follow when a running container joins or leaves a network.  They are
written in place, for the container has the very files bind-mounted; what it has written there itself is kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from corten.engine.containers import bundle, links, networking
from corten.engine.containers.ground import Ground
from corten.engine.containers.model import Container
from corten.errors import Invalid
from corten.network import resolv
from corten.network.model import Endpoint

_LARGEST_HOSTS = 1 << 20


def etc_files(ground: Ground, record: Container, endpoints: Sequence[Endpoint]) -> dict[str, str]:
    """hosts, hostname and resolv.conf of a container."""
    host = record.host_config
    name = networking.hostname(record)
    is_hosts = record.network_mode == "host"
    extra = [_extra_host(ground, text, endpoints) for text in host["ExtraHosts"] or ()]
    extra += links.hosts(ground, record)
    has_names = any(ground.networking.get(endpoint.network_id).has_names for endpoint in endpoints)
    return {
        "hostname": f"{name}\n",
        "hosts": _hosts(is_hosts, _names(record), endpoints, extra),
        "resolv.conf": _resolv_conf(ground, record, has_names=has_names),
    }


def _resolv_conf(ground: Ground, record: Container, *, has_names: bool) -> str:
    host, settings = record.host_config, ground.settings
    return resolv.resolv_conf(
        resolv.host_resolv_conf() if record.network_mode != "host" else _read("/etc/resolv.conf"),
        dns=host["Dns"] or settings.dns,
        search=host["DnsSearch"] or settings.dns_search,
        options=host["DnsOptions"] or settings.dns_options,
        embedded=has_names,
    )


def _names(record: Container) -> str:
    name, domain = networking.hostname(record), record.config["Domainname"]
    return f"{name}.{domain} {name}" if domain else name


def joined(ground: Ground, record: Container, endpoint: Endpoint) -> None:
    """A running container is on one more network: its name has an address there, and may be asked for names."""
    directory = ground.bundle(record.id)
    changed = {}
    if hosts := _hosts_inside(directory):
        changed["hosts"] = "".join([hosts, *(f"{line}\n" for line in _own_lines(record, endpoint))])
    if ground.networking.get(endpoint.network_id).has_names:
        without = _resolv_conf(ground, record, has_names=False)
        if _read(directory / "resolv.conf") == without:  # docker: what the container has changed is its own
            changed["resolv.conf"] = _resolv_conf(ground, record, has_names=True)
    bundle.write_etc(directory, changed)


def left(ground: Ground, record: Container, endpoint: Endpoint) -> None:
    """A running container has left a network: its name has no address there any more."""
    directory = ground.bundle(record.id)
    gone = set(_own_lines(record, endpoint))
    if hosts := _hosts_inside(directory):
        kept = [line for line in hosts.splitlines(keepends=True) if line.rstrip("\n") not in gone]
        bundle.write_etc(directory, {"hosts": "".join(kept)})


def _hosts_inside(directory: Path) -> str:
    """What the container makes of it; nothing if that is more than anyone means seriously."""
    path = directory / "hosts"
    return _read(path) if path.exists() and path.stat().st_size < _LARGEST_HOSTS else ""


def _own_lines(record: Container, endpoint: Endpoint) -> list[str]:
    addresses = (address for address in (endpoint.ipv4, endpoint.ipv6) if address is not None)
    return [f"{address.ip}\t{_names(record)}" for address in addresses]


def _hosts(is_hosts: bool, names: str, endpoints: Sequence[Endpoint], extra: list[tuple[str, str]]) -> str:
    if is_hosts:
        lines = _read("/etc/hosts").rstrip("\n").split("\n")
        return "\n".join([*lines, *(f"{address}\t{alias}" for alias, address in extra)]) + "\n"
    own = [
        (str(address.ip), names)
        for endpoint in endpoints
        for address in (endpoint.ipv4, endpoint.ipv6)
        if address is not None
    ]
    return resolv.hosts_file(own, extra)


def _read(path: str | Path) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def _extra_host(ground: Ground, text: str, endpoints: Sequence[Endpoint]) -> tuple[str, str]:
    name, _, address = text.partition(":") if ":" in text else text.partition("=")
    address = re.sub(r"\A\[(.*)\]\Z", r"\1", address)
    if address != "host-gateway":
        return name, address
    if ground.settings.host_gateway_ip:
        return name, ground.settings.host_gateway_ip
    for endpoint in endpoints:
        if endpoint.gateway4 is not None:
            return name, str(endpoint.gateway4)
    found = networking.host_gateway(ground)
    if not found:
        raise Invalid("unable to derive the IP value for host-gateway")
    return name, found
