"""Links made and taken away, as the service hands it to a thread: every function here blocks.

Owns: which sockets are opened and closed for it.  The requests themselves: ``apply.py``.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Sequence

from corten.kernel.netlink.socket import Netlink
from corten.network import apply, resolver
from corten.network.base import Sandbox
from corten.network.plan import Gateways, PlugPlan


def plug(
    sandbox: Sandbox, control: socket.socket, link_plan: PlugPlan | None, servers: Sequence[socket.socket], fresh: bool
) -> None:
    """Plug one interface in and, where there are sockets for it, put the embedded DNS in its place."""
    inside = Netlink(control)
    if link_plan is None:
        apply.bring_up_loopback(inside)
        return
    netns_fd = sandbox.netns_fd()
    try:
        with Netlink.open() as host:
            apply.plug(host, inside, netns_fd, link_plan, fresh=fresh)
    finally:
        os.close(netns_fd)
    if servers:
        resolver.bind(servers[0], servers[1], servers[2], fresh=fresh)


def unplug(sock: socket.socket, interface: str, remaining: Gateways) -> None:
    """Take one interface out of a running container."""
    apply.unplug(Netlink(sock), interface, remaining)


def remove(links: Sequence[str]) -> None:
    """Delete links of the host, if they are there."""
    with Netlink.open() as host:
        for link in links:
            apply.remove_link(host, link)


def remove_strays(bridges: Collection[str], alias: str, known: Collection[str]) -> None:
    """Delete links that only the kernel knows: the daemon was killed between forgetting one and taking it away."""
    with Netlink.open() as host:
        for link in apply.stray_ports(host, bridges, alias, known):
            apply.remove_link(host, link)
