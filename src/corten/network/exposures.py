"""What of the containers is reachable, and from where.

Owns: the reading of published ports and network modes as a list for people (``corten system exposures``).  Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address

from corten.network.ledger import Publication
from corten.network.model import Endpoint, Network, PortBinding
from corten.network.ports import Target

BY_ROUTE, OWN_ADDRESS = "wherever a route leads here", "its own address"


@dataclass(frozen=True, slots=True)
class Exposure:
    """One port, or neighbouring ones, of a container that somebody outside its networks can reach."""

    container_id: str
    container_name: str
    protocol: str
    host_ip: str
    first: int
    last: int
    container_port: int
    reachable_from: str  # "this host", "everywhere", "the networks of 192.0.2.2"
    through: str  # "published port", "its own address"


def of_publication(publication: Publication, target: Target, *, host_firewall: bool) -> list[Exposure]:
    """The published ports of one container, neighbours joined."""
    found: list[Exposure] = []
    for binding in sorted(publication.bindings, key=lambda each: (each.protocol, each.host_ip, each.host_port)):
        exposure = _published(publication, binding, target, host_firewall=host_firewall)
        last = found[-1] if found else None
        if exposure in found:  # gateway mode routed: the host's addresses play no part
            continue
        if last is not None and _continues(last, exposure):
            found[-1] = replace(last, last=exposure.last)
        else:
            found.append(exposure)
    return found


def _published(publication: Publication, binding: PortBinding, target: Target, *, host_firewall: bool) -> Exposure:
    is_four = ip_address(binding.host_ip).version == 4
    is_direct, own = (target.routed4, target.ipv4) if is_four else (target.routed6, target.ipv6)
    is_direct = is_direct and own is not None
    port = binding.container_port if is_direct else binding.host_port
    return Exposure(
        container_id=publication.container_id,
        container_name=publication.name,
        protocol=binding.protocol,
        host_ip=str(own) if is_direct else binding.host_ip,
        first=port,
        last=port,
        container_port=binding.container_port,
        reachable_from=BY_ROUTE if is_direct else _reach(binding.host_ip, host_firewall=host_firewall),
        through=OWN_ADDRESS if is_direct else "published port",
    )


def _continues(last: Exposure, after: Exposure) -> bool:
    grown = replace(last, first=after.first, last=after.last, container_port=after.container_port)
    shift = last.container_port - last.first
    return grown == after and after.first == last.last + 1 and after.container_port - after.first == shift


def of_open_networks(networks: Iterable[Network], endpoints: Iterable[Endpoint]) -> list[Exposure]:
    """Containers whose own addresses are open: gateway mode nat-unprotected, macvlan, ipvlan."""
    reach: dict[tuple[str, int], str] = {}
    for each in networks:
        for version in (4, 6):
            if each.driver in ("macvlan", "ipvlan") and not each.internal:
                reach[each.id, version] = f"the network of {each.options.get('parent') or each.bridge}"
            elif each.driver == "bridge" and not each.internal and each.gateway_mode(version) == "nat-unprotected":
                reach[each.id, version] = BY_ROUTE
    return [
        Exposure(
            container_id=endpoint.container_id,
            container_name=endpoint.container_name,
            protocol="any",
            host_ip=str(address.ip),
            first=1,
            last=65535,
            container_port=1,
            reachable_from=reach[endpoint.network_id, address.version],
            through=OWN_ADDRESS,
        )
        for endpoint in endpoints
        for address in (endpoint.ipv4, endpoint.ipv6)
        if address and (endpoint.network_id, address.version) in reach
    ]


def _reach(host: str, *, host_firewall: bool) -> str:
    address = ip_address(host)
    if address.is_loopback:
        return "this host"
    limit = ", as the host's firewall allows" if host_firewall else ""
    return ("everywhere" if address.is_unspecified else f"the networks of {host}") + limit
