"""Forgets tracked UDP flows that lead to where a published port was, or was not, before.

Owns: which flows are stale.  A TCP connection ends by itself; a client that sends datagrams from one port again and
again keeps its old flow alive, and so would never reach the container that has the port now.  Blocks.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable

from corten.kernel.netlink import conntrack, route
from corten.kernel.netlink.codec import NETLINK_NETFILTER
from corten.kernel.netlink.conntrack import Flow
from corten.kernel.netlink.socket import Netlink
from corten.network.model import IPAddress


def is_stale(flow: Flow, ports: Collection[int], local: Collection[IPAddress], gone: Collection[IPAddress]) -> bool:
    """``ports`` of ``local`` addresses were published or withdrawn just now; containers at ``gone`` have just left."""
    if flow.protocol != socket.IPPROTO_UDP:
        return False
    is_translated = flow.answerer != flow.destination
    return (is_translated and flow.answerer in gone) or (flow.port in ports and flow.destination in local)


def forget(ports: Iterable[int], gone: Iterable[IPAddress]) -> None:
    """Forget what is stale.  A flow that ended meanwhile is no trouble."""
    published, left = frozenset(ports), frozenset(gone)
    with Netlink.open() as links:
        local = frozenset(address.ip for _, address in links.dump(route.list_addresses(), route.parse_address))
    with Netlink.open(NETLINK_NETFILTER) as netlink:
        for family in (socket.AF_INET, socket.AF_INET6):
            for flow in netlink.dump(conntrack.list_flows(family), conntrack.parse_flow):
                if flow and is_stale(flow, published, local, left):
                    netlink.attempt(conntrack.forget_flow(flow))
