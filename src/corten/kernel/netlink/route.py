"""Links, addresses, routes and neighbours: the words of rtnetlink(7).

Owns: requests (values to bytes) and what dumps say (bytes to values).  Pure: ``socket.py`` sends.  Addresses are
packed bytes and lengths here; no policy, no names chosen.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface

from corten.kernel.netlink import codec
from corten.kernel.netlink.codec import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, Attributes, Message, Request

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface

# linux/rtnetlink.h
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH = 28
# linux/if.h, linux/if_link.h
IFF_UP = 1
LOOPBACK = 1  # the index of lo in every namespace
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER = 1, 3, 4, 5, 10
IFLA_PROTINFO, IFLA_LINKINFO, IFLA_NET_NS_PID, IFLA_IFALIAS, IFLA_AF_SPEC = 12, 18, 19, 20, 26
IFLA_NET_NS_FD, IFLA_EXT_MASK, IFLA_LINK_NETNSID = 28, 29, 37
RTEXT_FILTER_SKIP_STATS = 8
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
VETH_INFO_PEER = 1
IFLA_BRPORT_MODE, IFLA_BRPORT_ISOLATED = 4, 33
IFLA_INET6_ADDR_GEN_MODE = 8
IN6_ADDR_GEN_MODE_NONE = 1
IFLA_MACVLAN_MODE = 1
IFLA_IPVLAN_MODE, IFLA_IPVLAN_FLAGS = 1, 2
MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}
IPVLAN_FLAGS = {"bridge": 0, "private": 1, "vepa": 2}
IFLA_VLAN_ID = 1
# linux/if_addr.h, linux/rtnetlink.h, linux/neighbour.h
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFA_F_NODAD, IFA_F_PERMANENT = 0x02, 0x80
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, RTA_TABLE = 1, 4, 5, 6, 7, 15
RT_TABLE_MAIN, RT_TABLE_LOCAL = 254, 255
RTPROT_BOOT, RTPROT_RA = 3, 9
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253
RTN_UNICAST = 1
NDA_LLADDR = 2
NUD_NOARP = 0x40
NTF_MASTER = 0x04

_LINK = struct.Struct("=BxHiII")  # ifinfomsg
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg
_ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg
_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # ndmsg


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface."""

    index: int
    name: str
    flags: int = 0
    mtu: int = 0
    mac: str = ""
    master: int = 0
    kind: str = ""
    alias: str = ""

    @property
    def is_up(self) -> bool:
        return bool(self.flags & IFF_UP)


@dataclass(frozen=True, slots=True)
class Route:
    """A unicast route; ``destination`` None is the default route."""

    family: int
    destination: IPInterface | None
    gateway: IPAddress | None
    index: int
    table: int
    protocol: int
    metric: int = 0


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def mac_text(data: bytes) -> str:
    return ":".join(f"{byte:02x}" for byte in data)


def _family(address: IPAddress | IPInterface) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


# ── links ──────────────────────────────────────────────────────────────────────────────────────────


def _info(kind: str, *data: bytes) -> bytes:
    inner = codec.nested(IFLA_INFO_DATA, *data) if data else b""
    return codec.nested(IFLA_LINKINFO, codec.string(IFLA_INFO_KIND, kind), inner)


def _new_link(name: str, *parts: bytes, up: bool, what: str) -> Request:
    header = _LINK.pack(socket.AF_UNSPEC, 0, 0, IFF_UP if up else 0, IFF_UP if up else 0)
    body = header + codec.string(IFLA_IFNAME, name) + b"".join(parts)
    return Request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, what)


def create_bridge(name: str, mac: str, mtu: int) -> Request:
    """A bridge that is up; a fixed MAC keeps it from taking the lowest one of its ports."""
    parts = (codec.attribute(IFLA_ADDRESS, mac_bytes(mac)), codec.u32(IFLA_MTU, mtu), _info("bridge"))
    return _new_link(name, *parts, up=True, what=f"create bridge {name}")


def create_dummy(name: str) -> Request:
    return _new_link(name, _info("dummy"), up=True, what=f"create dummy {name}")


def create_vlan(name: str, parent: int, vlan: int) -> Request:
    info = _info("vlan", codec.u16(IFLA_VLAN_ID, vlan))
    return _new_link(name, codec.u32(IFLA_LINK, parent), info, up=True, what=f"create vlan {name}")


@dataclass(frozen=True, slots=True)
class Peer:
    """The far end of a new link, in the namespace of ``netns_fd``."""

    name: str
    netns_fd: int
    mac: str = ""
    mtu: int = 0

    def encode(self) -> bytes:
        parts = [codec.string(IFLA_IFNAME, self.name), codec.u32(IFLA_NET_NS_FD, self.netns_fd)]
        if self.mac:
            parts.append(codec.attribute(IFLA_ADDRESS, mac_bytes(self.mac)))
        if self.mtu:
            parts.append(codec.u32(IFLA_MTU, self.mtu))
        return b"".join(parts)


def create_veth(name: str, peer: Peer, *, master: int = 0, mtu: int = 0) -> Request:
    """Both ends in one message: ours up and in the bridge, the peer in its namespace.

    The peer must not be created up: the kernel answers ENOTCONN because ours does not exist yet at that moment.
    """
    header = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    info = _info("veth", codec.nested(VETH_INFO_PEER, header, peer.encode()))
    parts = [info]
    if mtu:
        parts.insert(0, codec.u32(IFLA_MTU, mtu))
    if master:
        parts.insert(0, codec.u32(IFLA_MASTER, master))
    return _new_link(name, *parts, up=True, what=f"create veth {name}")


def create_macvlan(peer: Peer, parent: int, mode: str) -> Request:
    info = _info("macvlan", codec.u32(IFLA_MACVLAN_MODE, MACVLAN_MODES[mode]))
    body = _LINK.pack(0, 0, 0, 0, 0) + peer.encode() + codec.u32(IFLA_LINK, parent) + info
    return Request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"create macvlan {peer.name}")


def create_ipvlan(peer: Peer, parent: int, mode: str, flag: str = "bridge") -> Request:
    info = _info(
        "ipvlan", codec.u16(IFLA_IPVLAN_MODE, IPVLAN_MODES[mode]), codec.u16(IFLA_IPVLAN_FLAGS, IPVLAN_FLAGS[flag])
    )
    body = _LINK.pack(0, 0, 0, 0, 0) + peer.encode() + codec.u32(IFLA_LINK, parent) + info
    return Request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"create ipvlan {peer.name}")


def delete_link(index: int) -> Request:
    return Request(RTM_DELLINK, 0, _LINK.pack(0, 0, index, 0, 0), f"delete link {index}")


def set_link(index: int, *parts: bytes, up: bool | None = None) -> Request:
    """Change a link; ``parts`` from the functions below."""
    flags, mask = (0, 0) if up is None else (IFF_UP if up else 0, IFF_UP)
    body = _LINK.pack(0, 0, index, flags, mask) + b"".join(parts)
    return Request(RTM_NEWLINK, 0, body, f"change link {index}")


def with_mtu(mtu: int) -> bytes:
    return codec.u32(IFLA_MTU, mtu)


def with_alias(alias: str) -> bytes:
    return codec.attribute(IFLA_IFALIAS, alias.encode())


def with_name(name: str) -> bytes:
    return codec.string(IFLA_IFNAME, name)


def without_link_local() -> bytes:
    """No fe80:: address when the link comes up: for links that are to have no IPv6."""
    inet6 = codec.nested(socket.AF_INET6, codec.u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE))
    return codec.nested(IFLA_AF_SPEC, inet6)


def set_bridge_port(index: int, *, hairpin: bool | None = None, isolated: bool | None = None) -> Request:
    """Flags of a bridge's port.  Hairpin: frames may leave where they came in.  Isolated: not to other such ports."""
    parts = []
    if hairpin is not None:
        parts.append(codec.u8(IFLA_BRPORT_MODE, hairpin))
    if isolated is not None:
        parts.append(codec.u8(IFLA_BRPORT_ISOLATED, isolated))
    body = _LINK.pack(socket.AF_BRIDGE, 0, index, 0, 0) + codec.nested(IFLA_PROTINFO, *parts)
    return Request(RTM_SETLINK, 0, body, f"change bridge port {index}")


def get_link(name: str) -> Request:
    body = _LINK.pack(0, 0, 0, 0, 0) + codec.string(IFLA_IFNAME, name)
    return Request(RTM_GETLINK, 0, body + codec.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS), f"find link {name}")


def list_links() -> Request:
    return Request(RTM_GETLINK, 0, _LINK.pack(0, 0, 0, 0, 0), "list links")


def parse_link(message: Message) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(message.body)
    found = Attributes(message.body[_LINK.size :])
    return Link(
        index=index,
        name=found.text(IFLA_IFNAME),
        flags=flags,
        mtu=found.number(IFLA_MTU),
        mac=mac_text(found.get(IFLA_ADDRESS, b"")),
        master=found.number(IFLA_MASTER),
        kind=found.inner(IFLA_LINKINFO).text(IFLA_INFO_KIND),
        alias=found.text(IFLA_IFALIAS),
    )


# ── addresses ──────────────────────────────────────────────────────────────────────────────────────


def _address_body(index: int, address: IPInterface) -> bytes:
    flags = IFA_F_PERMANENT | (IFA_F_NODAD if address.version == 6 else 0)
    header = _ADDRESS.pack(_family(address), address.network.prefixlen, flags, RT_SCOPE_UNIVERSE, index)
    packed = address.ip.packed
    return header + codec.attribute(IFA_LOCAL, packed) + codec.attribute(IFA_ADDRESS, packed)


def add_address(index: int, address: IPInterface) -> Request:
    """IPv6 addresses are added without duplicate detection: we hand them out ourselves and they work at once."""
    body = _address_body(index, address)
    return Request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body, f"add address {address} to link {index}")


def delete_address(index: int, address: IPInterface) -> Request:
    return Request(RTM_DELADDR, 0, _address_body(index, address), f"delete address {address} of link {index}")


def list_addresses() -> Request:
    return Request(RTM_GETADDR, 0, _ADDRESS.pack(0, 0, 0, 0, 0), "list addresses")


def parse_address(message: Message) -> tuple[int, IPInterface]:
    """Return (link index, address with prefix)."""
    _, length, _, _, index = _ADDRESS.unpack_from(message.body)
    found = Attributes(message.body[_ADDRESS.size :])
    packed = found.get(IFA_LOCAL) or found[IFA_ADDRESS]
    return index, ip_interface(f"{ip_address(packed)}/{length}")


# ── routes and neighbours ──────────────────────────────────────────────────────────────────────────


def _route_body(destination: IPInterface | None, gateway: IPAddress | None, index: int, metric: int) -> bytes:
    family = _family(destination or gateway or IPv4Address(0))
    length = destination.network.prefixlen if destination else 0
    scope = RT_SCOPE_UNIVERSE if gateway or family == socket.AF_INET6 else RT_SCOPE_LINK
    parts = [_ROUTE.pack(family, length, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0)]
    if destination:
        parts.append(codec.attribute(RTA_DST, destination.network.network_address.packed))
    if gateway:
        parts.append(codec.attribute(RTA_GATEWAY, gateway.packed))
    parts.append(codec.u32(RTA_OIF, index))
    if metric:
        parts.append(codec.u32(RTA_PRIORITY, metric))
    return b"".join(parts)


def add_route(destination: IPInterface | None, gateway: IPAddress | None, index: int, *, metric: int = 0) -> Request:
    body = _route_body(destination, gateway, index, metric)
    words = f"add route {destination or 'default'} via {gateway} link {index}"
    return Request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body, words)


def add_device_default(family: int, index: int) -> Request:
    """A default route without a router, for links where everything is on the wire (ipvlan l3)."""
    scope = RT_SCOPE_UNIVERSE if family == socket.AF_INET6 else RT_SCOPE_LINK
    header = _ROUTE.pack(family, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0)
    body = header + codec.u32(RTA_OIF, index)
    return Request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body, f"add default route on link {index}")


def delete_default(family: int) -> Request:
    """Remove the default route, whatever it is."""
    header = _ROUTE.pack(
        family, 0, 0, 0, RT_TABLE_MAIN, 0, RT_SCOPE_UNIVERSE if family == socket.AF_INET6 else 255, 0, 0
    )
    return Request(RTM_DELROUTE, 0, header, "delete default route")


def list_routes() -> Request:
    return Request(RTM_GETROUTE, 0, _ROUTE.pack(0, 0, 0, 0, 0, 0, 0, 0, 0), "list routes")


def parse_route(message: Message) -> Route | None:
    """Return a unicast route; None for the kernel's own local, broadcast and multicast ones."""
    family, length, _, _, table, protocol, _, kind, _ = _ROUTE.unpack_from(message.body)
    if kind != RTN_UNICAST or family not in (socket.AF_INET, socket.AF_INET6):
        return None
    found = Attributes(message.body[_ROUTE.size :])
    destination = ip_interface(f"{ip_address(found[RTA_DST])}/{length}") if RTA_DST in found else None
    gateway = ip_address(found[RTA_GATEWAY]) if RTA_GATEWAY in found else None
    table = found.number(RTA_TABLE, table)
    return Route(family, destination, gateway, found.number(RTA_OIF), table, protocol, found.number(RTA_PRIORITY))


def learn(port: int, mac: str) -> Request:
    """Tell a bridge behind which of its ports a MAC address is now; the entry goes with the port.

    A static one: the port has no carrier yet, and a bridge refuses to have learnt anything from such a port.
    """
    header = _NEIGHBOUR.pack(socket.AF_BRIDGE, port, NUD_NOARP, NTF_MASTER, 0)
    body = header + codec.attribute(NDA_LLADDR, mac_bytes(mac))
    return Request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body, f"learn {mac} at port {port}")


def find(found: Sequence[Link], name: str) -> Link | None:
    return next((link for link in found if link.name == name), None)
