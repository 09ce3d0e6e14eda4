"""Another host on a wire of its own: what is published to it, and what is not.  The table of the documentation."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_interface

import pytest

from corten.kernel.netlink import route
from corten.kernel.netlink.codec import NETLINK_ROUTE
from corten.kernel.netlink.socket import Netlink
from corten.network import apply
from corten.network.model import EndpointSpec, IpamConfig, NetworkSpec, PortBinding

from .conftest import MemoryFacts, Namespace, daemon, fetch

pytestmark = pytest.mark.root
HOST4, HOST6, REMOTE4, REMOTE6 = "10.217.0.1", "fd00:c0:e::1", "10.217.0.2", "fd00:c0:e::2"


@contextlib.contextmanager
def wire(remote: Namespace) -> Iterator[None]:
    """A cable between this host and the remote one, whose default routes lead here."""
    [control] = remote.make_sockets([(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE)])
    netns_fd = remote.netns_fd()
    with Netlink.open() as host, Netlink(control) as far:
        host.perform(route.create_veth("ctwire0", route.Peer("wire", netns_fd)))
        os.close(netns_fd)
        for netlink, name, addresses in ((host, "ctwire0", (HOST4, HOST6)), (far, "wire", (REMOTE4, REMOTE6))):
            link = apply.find_link(netlink, name)
            assert link is not None
            for address, length in zip(addresses, (24, 64), strict=True):
                netlink.perform(route.add_address(link.index, ip_interface(f"{address}/{length}")))
            netlink.perform(route.set_link(link.index, up=True))
        far.perform(route.add_route(None, ip_address(HOST4), link.index))
        far.perform(route.add_route(None, ip_address(HOST6), link.index))
        try:
            yield
        finally:
            apply.remove_link(host, "ctwire0")


def test_what_another_host_reaches(facts: MemoryFacts, namespaces: Callable[[], Namespace]) -> None:
    async def story() -> None:
        async with daemon(facts, "w") as net:
            remote, box, shy = namespaces(), namespaces(), namespaces()
            with wire(remote):
                ipam = (IpamConfig.parse("10.215.7.0/24"), IpamConfig.parse("fd00:c0:f::/64"))
                await net.create(NetworkSpec("dual", ipam=ipam, enable_ipv6=True))
                await net.connect("dual", box.container_id, box, EndpointSpec(ipv4="10.215.7.7", ipv6="fd00:c0:f::7"))
                wanted = [
                    PortBinding(80, host_port=27091),
                    PortBinding(80, host_ip="127.0.0.1", host_port=27092),
                    PortBinding(80, host_ip=HOST4, host_port=27093),
                    PortBinding(80, host_ip="::1", host_port=27094),
                    PortBinding(80, host_ip=HOST6, host_port=27095),
                ]
                await net.publish(box.container_id, "box", wanted)
                box.serve("::", 80, "box")  # IPv4 too
                open_ = {"com.docker.network.bridge.gateway_mode_ipv4": "nat-unprotected"}
                await net.create(NetworkSpec("open", ipam=(IpamConfig.parse("10.215.8.0/24"),), options=open_))
                await net.connect("open", shy.container_id, shy, EndpointSpec(ipv4="10.215.8.8"))
                shy.serve("0.0.0.0", 80, "open")
                table = {
                    (HOST4, 27091): "box",
                    (HOST6, 27091): "box",
                    (HOST4, 27092): "",  # published on the host's loopback only
                    ("127.0.0.1", 27092): "",
                    (HOST4, 27093): "box",
                    (HOST6, 27093): "",
                    (HOST6, 27094): "",
                    (HOST6, 27095): "box",
                    ("10.215.7.7", 80): "",  # a route to the container's own address does not open it
                    ("fd00:c0:f::7", 80): "",
                    ("10.215.8.8", 80): "open",  # gateway mode nat-unprotected
                }
                for (address, port), expected in table.items():
                    answer = await asyncio.to_thread(remote.run, lambda a=address, p=port: fetch(a, p, timeout=0.4))
                    answered = answer.split()[0] if answer.startswith(("box", "open")) else ""
                    assert answered == expected, (address, port, answer)
                # and the other way: the container leaves with the host's address, over both protocols
                for host, address in ((HOST4, REMOTE4), (HOST6, REMOTE6)):
                    remote.serve(address, 8080, "remote")
                    answer = await asyncio.to_thread(box.run, lambda a=address: fetch(a, 8080))
                    assert answer == f"remote {host}"

    asyncio.run(story())
