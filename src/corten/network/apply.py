"""Performs plans over netlink.

Owns: the order of requests that make a bridge or plug a container in.  Decides nothing (``plan.py``), opens no
namespace (sockets of the container's come from its ``Sandbox``).  Blocks for as long as the kernel works; the service
calls it in a thread.

A container's interface costs two sends: one message makes both ends of the veth, one batch inside sets it up.  A veth
is never deleted with a request when its namespace can be closed instead: the first waits for an RCU grace period, the
second leaves that to the kernel.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Collection, Sequence
from pathlib import Path

from corten.errors import Conflict, Invalid, NotImplementedYet
from corten.kernel.netlink import route
from corten.kernel.netlink.codec import Request
from corten.kernel.netlink.route import Link, Peer
from corten.kernel.netlink.socket import Netlink
from corten.network.model import IPNetwork
from corten.network.plan import BridgePlan, Gateways, PlugPlan

_SYSCTL = Path("/proc/sys/net")


def find_link(netlink: Netlink, name: str) -> Link | None:
    try:
        return route.parse_link(netlink.ask(route.get_link(name)))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise


def ensure_bridge(netlink: Netlink, plan: BridgePlan, *, adopt: bool = False) -> None:
    """Make the bridge, or bring the one that is there in line.

    ``adopt``: a bridge of that name that is not marked as ours is used with the addresses that it has.
    """
    link = find_link(netlink, plan.name)
    ours = link is None or link.alias == plan.alias
    if link is None:
        netlink.perform(route.create_bridge(plan.name, plan.mac, plan.mtu))
        link = find_link(netlink, plan.name)
        if link is None:
            raise OSError(errno.ENODEV, f"bridge {plan.name} vanished")
        netlink.perform(
            route.set_link(link.index, route.with_alias(plan.alias)),
            *(route.add_address(link.index, address) for address in plan.addresses),
        )
    elif link.kind != "bridge":
        raise Conflict(f"{plan.name} exists and is not a bridge")
    else:
        if not ours and not adopt:
            raise Conflict(f"a bridge named {plan.name} exists and belongs to somebody else")
        _align(netlink, link, plan, exactly=ours)
    _allow_local_routing(plan, is_foreign=not ours)


def _align(netlink: Netlink, link: Link, plan: BridgePlan, *, exactly: bool) -> None:
    present = [
        address for index, address in netlink.dump(route.list_addresses(), route.parse_address) if index == link.index
    ]
    requests: list[Request] = []
    if exactly:
        requests += [
            route.delete_address(link.index, address)
            for address in present
            if address not in plan.addresses and not address.is_link_local
        ]
        if link.mtu != plan.mtu:
            requests.append(route.set_link(link.index, route.with_mtu(plan.mtu)))
    requests += [route.add_address(link.index, address) for address in plan.addresses if address not in present]
    if not link.is_up:
        requests.append(route.set_link(link.index, up=True))
    if requests:
        netlink.perform(*requests)


def _allow_local_routing(plan: BridgePlan, *, is_foreign: bool) -> None:
    # A published port reaches the container from the host's 127.0.0.1 only with this; the firewall's chain "guard"
    # keeps containers from using it the other way round.
    write_sysctl(f"ipv4/conf/{plan.name}/route_localnet", "1")
    if any(address.version == 6 for address in plan.addresses):
        write_sysctl(f"ipv6/conf/{plan.name}/disable_ipv6", "0")
        write_sysctl(f"ipv6/conf/{plan.name}/accept_ra", "0")
        # To look a container up for a packet of somebody else's, the host asks from the bridge's link-local address;
        # duplicate detection would keep that one silent for the first second after the first container came.
        write_sysctl(f"ipv6/conf/{plan.name}/accept_dad", "0")
        write_sysctl(f"ipv6/conf/{plan.name}/dad_transmits", "0")
    elif not is_foreign:
        # Not even a link-local address: a container could reach the host's services by it.
        write_sysctl(f"ipv6/conf/{plan.name}/disable_ipv6", "1")


def remove_bridge(netlink: Netlink, name: str, alias: str) -> None:
    """Delete a bridge that is marked as ours; any other is left alone."""
    link = find_link(netlink, name)
    if link is not None and link.alias == alias and link.kind == "bridge":
        with contextlib.suppress(FileNotFoundError):
            netlink.perform(route.delete_link(link.index))


def write_sysctl(name: str, value: str) -> bool:
    """Set a switch below /proc/sys/net; False where this kernel has none (no IPv6, say)."""
    path = _SYSCTL / name
    try:
        if path.read_text().strip() != value:
            path.write_text(value)
    except FileNotFoundError:
        return False
    return True


def enable_forwarding(netlink: Netlink, *, ipv6: bool) -> None:
    """Let the host route.  A host that learnt its own IPv6 route from advertisements must go on listening to them."""
    write_sysctl("ipv4/ip_forward", "1")
    if not ipv6 or not (_SYSCTL / "ipv6/conf/all/forwarding").exists():
        return
    if (_SYSCTL / "ipv6/conf/all/forwarding").read_text().strip() == "1":
        return
    names = {link.index: link.name for link in netlink.dump(route.list_links(), route.parse_link)}
    for each in netlink.dump(route.list_routes(), route.parse_route):
        if each and each.family == socket.AF_INET6 and each.protocol == route.RTPROT_RA and each.index in names:
            write_sysctl(f"ipv6/conf/{names[each.index]}/accept_ra", "2")
    write_sysctl("ipv6/conf/all/forwarding", "1")


def host_networks(netlink: Netlink, ignored: set[str]) -> list[IPNetwork]:
    """What the host routes somewhere already, its default routes and the named links left out."""
    skip = {link.index for link in netlink.dump(route.list_links(), route.parse_link) if link.name in ignored}
    found: list[IPNetwork] = [
        each.destination.network
        for each in netlink.dump(route.list_routes(), route.parse_route)
        if each and each.destination and each.destination.network.prefixlen > 0 and each.index not in skip
    ]
    found += [
        address.network
        for index, address in netlink.dump(route.list_addresses(), route.parse_address)
        if index not in skip
    ]
    return [network for network in found if not network.is_link_local and not network.is_multicast]


# ── a container's side ─────────────────────────────────────────────────────────────────────────────


def plug(host: Netlink, inside: Netlink, netns_fd: int, plan: PlugPlan, *, fresh: bool) -> None:
    """Give a container an interface: wires first, then addresses and routes.  ``fresh``: it has none yet."""
    peer = Peer(plan.interface, netns_fd, plan.mac, plan.mtu)
    if plan.child:
        _make_child(host, peer, plan)
    else:
        _make_pair(host, peer, plan)
    link = find_link(inside, plan.interface)
    if link is None:
        raise OSError(errno.ENODEV, f"interface {plan.interface} did not arrive in the container")
    requests = [route.set_link(route.LOOPBACK, up=True)]
    if not any(address.version == 6 for address in plan.addresses):
        requests.append(route.set_link(link.index, route.without_link_local()))
    requests += [route.add_address(link.index, address) for address in plan.addresses]
    requests.append(route.set_link(link.index, up=True))
    if fresh:
        requests += _first_gateways(link, plan.gateways)
    _check(inside.attempt(*requests), requests, route.without_link_local())
    if not fresh:
        set_gateways(inside, plan.gateways)


def _first_gateways(link: Link, wanted: Gateways) -> list[Request]:
    """The default routes of a container that has none: nothing to look up, nothing to delete."""
    found = [(socket.AF_INET, wanted.ipv4), (socket.AF_INET6, wanted.ipv6)]
    return [
        route.add_route(None, gateway[0], link.index) if gateway[0] else route.add_device_default(family, link.index)
        for family, gateway in found
        if gateway
    ]


def _check(errors: Sequence[OSError | None], requests: list[Request], optional: bytes) -> None:
    for error, request in zip(errors, requests, strict=True):
        if error is not None and not request.body.endswith(optional):  # a kernel without IPv6 refuses that one
            raise error


def _make_pair(host: Netlink, peer: Peer, plan: PlugPlan) -> None:
    bridge = _index(plan.bridge)
    host.perform(route.create_veth(plan.link, peer, master=bridge, mtu=plan.mtu))
    port = _index(plan.link)
    # The address may have belonged to a container whose own port is not quite gone: the bridge must not look there.
    # Hairpin: with br_netfilter a container's packet to its own published port is sent back where it came from.
    flags = route.set_bridge_port(port, hairpin=True, isolated=True if plan.isolated else None)
    host.perform(route.learn(port, plan.mac), flags)


def _index(name: str) -> int:
    """The number of a link of the host; a tenth of the price of asking all about it."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        raise OSError(errno.ENODEV, f"link {name} does not exist") from None


def _make_child(host: Netlink, peer: Peer, plan: PlugPlan) -> None:
    child = plan.child
    if child is None:
        return
    parent = find_link(host, child.parent)
    if parent is None:
        raise Invalid(f"invalid parent interface {child.parent}: no such link on the host")
    if child.kind == "macvlan":
        request = route.create_macvlan(peer, parent.index, child.mode)
    else:
        request = route.create_ipvlan(peer, parent.index, child.mode, child.flag)
    try:
        host.perform(request)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            raise NotImplementedYet(
                f"this host's kernel has no {child.kind} links (CONFIG_{child.kind.upper()})"
            ) from None
        raise


def set_gateways(inside: Netlink, wanted: Gateways) -> None:
    """Make the default routes be these, whatever they were."""
    for family, gateway in ((socket.AF_INET, wanted.ipv4), (socket.AF_INET6, wanted.ipv6)):
        if gateway is None:
            continue
        address, interface = gateway
        link = find_link(inside, interface)
        if link is None:
            continue
        if address is None:
            inside.perform(route.add_device_default(family, link.index))
            continue
        # Replacing does not reach a default route on another link in IPv6: delete first.
        inside.attempt(route.delete_default(family))
        inside.perform(route.add_route(None, address, link.index))


def bring_up_loopback(inside: Netlink) -> None:
    inside.perform(route.set_link(route.LOOPBACK, up=True))


def unplug(inside: Netlink, interface: str, remaining: Gateways) -> None:
    """Take one interface out of a running container; this waits for the kernel, unlike closing the namespace."""
    link = find_link(inside, interface)
    if link is not None:
        inside.perform(route.delete_link(link.index))
    set_gateways(inside, remaining)


def has_link(name: str) -> bool:
    """Whether the host has a link of this name."""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def stray_ports(host: Netlink, bridges: Collection[str], alias: str, known: Collection[str]) -> list[str]:
    """Our ends of veth pairs, in bridges that are marked as ours, that no endpoint knows of."""
    links = host.dump(route.list_links(), route.parse_link)
    ours = {link.index for link in links if link.name in bridges and link.alias == alias}
    return [
        link.name
        for link in links
        if link.master in ours and link.kind == "veth" and link.name.startswith("veth") and link.name not in known
    ]


def remove_link(host: Netlink, name: str) -> None:
    """Delete a link of the host if it is there (a veth whose container is beyond reach)."""
    link = find_link(host, name)
    if link is not None:
        with contextlib.suppress(OSError):
            host.perform(route.delete_link(link.index))


def has_ipv6() -> bool:
    """Whether this host speaks IPv6 at all."""
    path = Path("/proc/net/if_inet6")
    return path.exists() and bool(path.read_text().strip())
