"""How a container joins a network: what is refused, and the endpoint record with its addresses.

Owns: Docker's conditions for static addresses and the making of ``Endpoint`` values.  Touches only the ledger.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, ip_address, ip_interface
from typing import Any

from corten.errors import Invalid
from corten.network.drivers.table import driver
from corten.network.ledger import Ledger, new_id
from corten.network.model import (
    OPTION_INTERFACE_NAME,
    OPTION_INTERFACE_PREFIX,
    Endpoint,
    EndpointSpec,
    IPAddress,
    Network,
    mac_for,
)
from corten.network.plan import LONGEST_NAME, interface_name


def check(network: Network, spec: EndpointSpec) -> None:
    """Refuse what can be refused without looking at what is in use.  docker: these words."""
    spec.validate()
    if network.config_only:
        raise Invalid(f"cannot attach to a configuration only network: {network.name}")
    if network.is_predefined and (spec.ipv4 or spec.ipv6):
        raise Invalid(
            "invalid endpoint settings:\nuser specified IP address is supported on user defined networks only"
        )
    if network.is_predefined and spec.aliases:
        raise Invalid(
            "invalid endpoint settings:\nnetwork-scoped alias is supported only for containers in user defined networks"
        )
    for text in (spec.ipv4, spec.ipv6):
        if not text:
            continue
        address = ip_address(text)
        if not network.user_subnets:
            raise Invalid(
                "invalid endpoint settings:\nuser specified IP address is supported only when connecting to networks "
                "with user configured subnets"
            )
        if not any(address in config.subnet for config in network.ipam):
            raise Invalid(
                f"invalid endpoint settings:\nno configured subnet or ip-range contain the IP address {address}"
            )
    name = spec.driver_opts.get(OPTION_INTERFACE_NAME, "")
    if len(name) > LONGEST_NAME or "/" in name or name in (".", "..", "lo"):
        raise Invalid(f"invalid interface name {name!r}")


def join(ledger: Ledger, network: Network, container_id: str, spec: EndpointSpec) -> Endpoint:
    """Hand out addresses and write the endpoint down; ``check`` came before."""
    ipv4, ipv6 = _allocate(ledger, network, spec)
    taken = [each.interface for each in ledger.of_container(container_id)]
    has_link = driver(network.driver).has_subnets
    prefix = network.options.get(OPTION_INTERFACE_PREFIX) or "eth"
    wanted = spec.driver_opts.get(OPTION_INTERFACE_NAME, "")
    identity = new_id()
    endpoint = Endpoint(
        id=identity,
        network_id=network.id,
        network_name=network.name,
        container_id=container_id,
        container_name=spec.container_name,
        interface=(wanted or interface_name(taken, prefix)) if has_link else "",
        link=f"veth{identity[:10]}" if network.driver == "bridge" else "",
        mac=_mac(network, spec, ipv4[0] if ipv4 else None),
        ipv4=_interface(ipv4),
        ipv6=_interface(ipv6),
        gateway4=_gateway(network, 4, spec),
        gateway6=_gateway(network, 6, spec),
        aliases=spec.aliases,
        dns_names=names(spec.container_name, container_id, spec.aliases, spec.hostname) if network.has_names else (),
        links=spec.links,
        gw_priority=spec.gw_priority,
        driver_opts=dict(spec.driver_opts),
        dns=spec.dns,
    )
    try:
        ledger.put(endpoint)
    except BaseException:
        ledger.give_back(network.id, [given[0] for given in (ipv4, ipv6) if given])
        raise
    return endpoint


def renamed(endpoint: Endpoint, container_name: str, aliases: Mapping[str, Sequence[str]] | None = None) -> Endpoint:
    """The endpoint of a container that has a new name and, where ``aliases`` (by network) are given, others of them."""
    own = endpoint.aliases if aliases is None else tuple(aliases.get(endpoint.network_name, ()))
    gone = {endpoint.container_name, *endpoint.aliases} - {endpoint.container_id[:12]}
    kept = [name for name in endpoint.dns_names if name not in gone]
    found = (container_name, *own, *kept) if endpoint.dns_names else ()
    return endpoint.evolve(container_name=container_name, aliases=own, dns_names=tuple(dict.fromkeys(found)))


def names(container_name: str, container_id: str, aliases: tuple[str, ...], hostname: str) -> tuple[str, ...]:
    """docker: the container's name, its aliases, its short id, its hostname."""
    found = (container_name, *aliases, container_id[:12], hostname)
    return tuple(dict.fromkeys(name for name in found if name))


def _allocate(
    ledger: Ledger, network: Network, spec: EndpointSpec
) -> tuple[tuple[IPAddress, int] | None, tuple[IPAddress, int] | None]:
    if not driver(network.driver).has_subnets:
        return None, None
    ipv4 = ipv6 = None
    if network.subnets(4):
        ipv4 = ledger.allocate(network, 4, ip_address(spec.ipv4) if spec.ipv4 else None)
    try:
        if network.subnets(6):
            ipv6 = ledger.allocate(network, 6, ip_address(spec.ipv6) if spec.ipv6 else None)
    except BaseException:
        if ipv4:
            ledger.give_back(network.id, [ipv4[0]])
        raise
    return ipv4, ipv6


def _interface(given: tuple[IPAddress, int] | None) -> Any:  # the version is the one that was asked for
    return ip_interface(f"{given[0]}/{given[1]}") if given else None


def _mac(network: Network, spec: EndpointSpec, address: IPAddress | None) -> str:
    if not driver(network.driver).has_subnets:
        return ""
    if spec.mac:
        return spec.mac.lower()
    if isinstance(address, IPv4Address):
        return mac_for(address)
    return ":".join(f"{byte:02x}" for byte in b"\x02\x42" + secrets.token_bytes(4))


def _gateway(network: Network, version: int, spec: EndpointSpec) -> Any:
    if network.internal:
        return None
    found = next((config.gateway for config in network.subnets(version) if config.gateway), None)
    wanted = spec.ipv4 if version == 4 else spec.ipv6
    if wanted:  # of several subnets, the gateway of the one that the address is in
        inside = (config.gateway for config in network.subnets(version) if ip_address(wanted) in config.subnet)
        found = next(inside, found)
    return found
