"""Wanted links as data.

Owns: ``BridgePlan``, ``PlugPlan`` and ``ChildPlan`` (macvlan, ipvlan), made purely from networks and endpoints, and
which endpoint gives a container its default gateway.  Performs nothing: ``apply.py`` does.  Every plan prints itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_interface

from corten.network.model import OPTION_BRIDGE_NAME, Endpoint, IPInterface, Network

LONGEST_NAME = 15


@dataclass(frozen=True, slots=True)
class BridgePlan:
    """A bridge of the host with the gateways' addresses."""

    name: str
    mac: str
    mtu: int
    alias: str  # marks the bridge as ours: only such a one is deleted with its network
    addresses: tuple[IPInterface, ...] = ()

    def describe(self) -> list[str]:
        lines = [f"bridge {self.name} mac {self.mac} mtu {self.mtu}"]
        return lines + [f"address {address} on {self.name}" for address in self.addresses]


@dataclass(frozen=True, slots=True)
class Gateways:
    """The default routes of a container: where to, through which of its interfaces."""

    ipv4: tuple[IPv4Address | None, str] | None = None
    ipv6: tuple[IPv6Address | None, str] | None = None

    def describe(self) -> list[str]:
        found = [gateway for gateway in (self.ipv4, self.ipv6) if gateway]
        return [f"default via {address} dev {interface}" for address, interface in found]


@dataclass(frozen=True, slots=True)
class PlugPlan:
    """One interface of a container: a veth pair into a bridge, or a child of a link of the host (see ``child``)."""

    interface: str
    mac: str
    mtu: int
    addresses: tuple[IPInterface, ...]
    gateways: Gateways
    link: str = ""
    bridge: str = ""
    isolated: bool = False  # not to the other containers of the bridge (ICC off)
    child: ChildPlan | None = None

    def describe(self) -> list[str]:
        if self.child:
            lines = [f"{self.child.kind} {self.interface} on {self.child.parent} mode {self.child.mode}"]
        else:
            lines = [f"veth {self.link} in {self.bridge}{' isolated' * self.isolated}, {self.interface} inside"]
        lines[0] += f" mac {self.mac or '-'} mtu {self.mtu or '-'}"
        lines += [f"address {address} on {self.interface}" for address in self.addresses]
        return lines + self.gateways.describe()


@dataclass(frozen=True, slots=True)
class ChildPlan:
    """A macvlan or ipvlan child of a link of the host."""

    kind: str
    parent: str
    mode: str
    flag: str = "bridge"


def bridge_name(network_id: str, options: dict[str, str]) -> str:
    return options.get(OPTION_BRIDGE_NAME) or f"br-{network_id[:12]}"


def bridge_mac(name: str) -> str:
    """A fixed MAC made from the bridge's name: locally administered, the same after a restart."""
    digest = hashlib.sha256(b"corten bridge " + name.encode()).digest()
    return ":".join(f"{byte:02x}" for byte in b"\x02\x42" + digest[:4])


def bridge_plan(network: Network, mtu: int, alias: str) -> BridgePlan:
    addresses: Iterable[IPInterface] = (
        ip_interface(f"{config.gateway}/{config.subnet.prefixlen}")
        for config in network.ipam
        if config.gateway and network.gateway_mode(config.subnet.version) != "isolated"
    )
    return BridgePlan(network.bridge, bridge_mac(network.bridge), network.mtu(mtu), alias, tuple(addresses))


def addresses_of(endpoint: Endpoint) -> tuple[IPInterface, ...]:
    return tuple(address for address in (endpoint.ipv4, endpoint.ipv6) if address)


def by_priority(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """docker: the highest gateway priority first; equal ones by network name."""
    return sorted(endpoints, key=lambda endpoint: (-endpoint.gw_priority, endpoint.network_name))


def gateways(endpoints: Iterable[Endpoint]) -> Gateways:
    """Choose the default gateways of a container among its endpoints."""
    best = by_priority(endpoints)
    first4 = next(((each.gateway4, each.interface) for each in best if each.gateway4), None)
    first6 = next(((each.gateway6, each.interface) for each in best if each.gateway6), None)
    return Gateways(first4, first6)


def interface_name(taken: Sequence[str], prefix: str = "eth") -> str:
    number = 0
    while f"{prefix}{number}" in taken:
        number += 1
    return f"{prefix}{number}"
