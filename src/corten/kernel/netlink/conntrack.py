"""The table of tracked connections: listing and forgetting.

Owns: the messages of linux/netfilter/nfnetlink_conntrack.h that this needs.  Pure; ``socket.py`` sends.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from corten.kernel.netlink import codec
from corten.kernel.netlink.codec import Attributes, Message, Request

NFNL_SUBSYS_CTNETLINK = 1
IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE = 1, 2
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_ID = 1, 2, 12
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_V4_SRC, CTA_IP_V4_DST, CTA_IP_V6_SRC, CTA_IP_V6_DST = 1, 2, 3, 4
CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT = 1, 2, 3
_GENERAL = struct.Struct(">BBH")


@dataclass(frozen=True, slots=True)
class Flow:
    """One tracked connection.  ``key`` is the kernel's own words for it."""

    family: int
    protocol: int
    destination: IPv4Address | IPv6Address  # where its first packet was sent to
    port: int
    answerer: IPv4Address | IPv6Address  # who answers: somebody else where the destination was translated
    key: bytes


def list_flows(family: int) -> Request:
    kind = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET
    return Request(kind, 0, _GENERAL.pack(family, 0, 0), "list connections")


def parse_flow(message: Message) -> Flow | None:
    found = Attributes(message.body[_GENERAL.size :])
    sent, answered = found.inner(CTA_TUPLE_ORIG), found.inner(CTA_TUPLE_REPLY)
    to, back = sent.inner(CTA_TUPLE_IP), answered.inner(CTA_TUPLE_IP)
    destination = to.get(CTA_IP_V4_DST) or to.get(CTA_IP_V6_DST)
    answerer = back.get(CTA_IP_V4_SRC) or back.get(CTA_IP_V6_SRC)
    if not destination or not answerer:
        return None
    ports = sent.inner(CTA_TUPLE_PROTO)
    key = codec.nested(CTA_TUPLE_ORIG, found[CTA_TUPLE_ORIG])
    if CTA_ID in found:  # so that a new connection between the same ends is left alone
        key += codec.attribute(CTA_ID, found[CTA_ID])
    return Flow(
        message.body[0],
        ports.number(CTA_PROTO_NUM),
        ip_address(destination),
        ports.big(CTA_PROTO_DST_PORT),
        ip_address(answerer),
        key,
    )


def forget_flow(flow: Flow) -> Request:
    kind = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE
    return Request(kind, 0, _GENERAL.pack(flow.family, 0, 0) + flow.key, "forget connection")
