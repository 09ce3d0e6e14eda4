"""What of the containers is reachable, and from where.

Owns: the reading of published ports and network modes as a list for people (``corten system exposures``).  Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from corten.network.ledger import Publication
from corten.network.model import Endpoint, Network


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


def of_publications(publications: Iterable[Publication], *, host_firewall: bool) -> list[Exposure]:
    """Published ports, neighbours joined."""
    found: list[Exposure] = []
    for publication in publications:
        ordered = sorted(publication.bindings, key=lambda each: (each.protocol, each.host_ip, each.host_port))
        for binding in ordered:
            last = found[-1] if found else None
            shift = binding.container_port - binding.host_port
            if (
                last is not None
                and (last.container_id, last.protocol, last.host_ip)
                == (
                    publication.container_id,
                    binding.protocol,
                    binding.host_ip,
                )
                and (last.last + 1, last.container_port - last.first) == (binding.host_port, shift)
            ):
                found.pop()
                first, port = last.first, last.container_port
            else:
                first, port = binding.host_port, binding.container_port
            found.append(
                Exposure(
                    publication.container_id,
                    publication.name,
                    binding.protocol,
                    binding.host_ip,
                    first,
                    binding.host_port,
                    port,
                    _reach(binding.host_ip, host_firewall=host_firewall),
                    "published port",
                )
            )
    return found


def of_open_networks(networks: Iterable[Network], endpoints: Iterable[Endpoint]) -> list[Exposure]:
    """Containers whose own addresses are open: gateway mode nat-unprotected."""
    modes = {(each.id, version): each.gateway_mode(version) for each in networks for version in (4, 6)}
    return [
        Exposure(
            container_id=endpoint.container_id,
            container_name=endpoint.container_name,
            protocol="any",
            host_ip=str(address.ip),
            first=1,
            last=65535,
            container_port=1,
            reachable_from="wherever a route leads here",
            through="its own address",
        )
        for endpoint in endpoints
        for address in (endpoint.ipv4, endpoint.ipv6)
        if address and modes.get((endpoint.network_id, address.version)) == "nat-unprotected"
    ]


def _reach(host: str, *, host_firewall: bool) -> str:
    address = ip_address(host)
    if address.is_loopback:
        return "this host"
    limit = ", as the host's firewall allows" if host_firewall else ""
    return ("everywhere" if address.is_unspecified else f"the networks of {host}") + limit
