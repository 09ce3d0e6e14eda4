"""The table of docs/networking.md, cell by cell: this host, another host, a container of another network."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest
from tests.rig.facts import MemoryFacts

from corten.kernel.netlink import route
from corten.kernel.netlink.codec import NETLINK_ROUTE
from corten.kernel.netlink.socket import Netlink
from corten.network import apply
from corten.network.model import EndpointSpec, IpamConfig, NetworkSpec, PortBinding
from corten.network.service import Networking

from .conftest import Namespace, daemon, fetch

pytestmark = pytest.mark.root
HOST4, HOST6, REMOTE4, REMOTE6 = "10.217.0.1", "fd00:c0:e::1", "10.217.0.2", "fd00:c0:e::2"
SOURCES = ("host", "remote", "neighbour")
PAGE = Path(__file__).parents[3] / "docs/networking.md"
MODE4, MODE6 = (f"com.docker.network.bridge.gateway_mode_ipv{version}" for version in (4, 6))

# What is tried, and who gets an answer: h(ost), r(emote), n(eighbour).  The heading is the row of the page.
TABLE: dict[str, list[tuple[str, int, str]]] = {
    "-p 8080:80": [
        ("127.0.0.1", 8080, "h"),
        ("::1", 8080, "h"),
        (HOST4, 8080, "hrn"),
        (HOST6, 8080, "hrn"),
    ],
    "-p 0.0.0.0:8081:80": [
        ("127.0.0.1", 8081, "h"),
        ("::1", 8081, ""),
        (HOST4, 8081, "hrn"),
        (HOST6, 8081, ""),
    ],
    "-p 127.0.0.1:8082:80": [("127.0.0.1", 8082, "h"), ("::1", 8082, ""), (HOST4, 8082, ""), (HOST6, 8082, "")],
    f"-p {HOST4}:8083:80": [("127.0.0.1", 8083, ""), (HOST4, 8083, "hrn"), (HOST6, 8083, "")],
    "-p [::1]:8084:80": [("::1", 8084, "h"), ("127.0.0.1", 8084, ""), (HOST4, 8084, ""), (HOST6, 8084, "")],
    f"-p [{HOST6}]:8085:80": [("::1", 8085, ""), (HOST4, 8085, ""), (HOST6, 8085, "hrn")],
    "not published": [
        ("10.215.7.7", 80, "h"),
        ("fd00:c0:f::7", 80, "h"),
        ("10.215.7.7", 81, "h"),  # 80 is published, 81 is not; to the container's own address both are the same
        ("fd00:c0:f::7", 81, "h"),
    ],
    "gateway mode nat-unprotected": [("10.215.8.8", 80, "hrn"), ("fd00:c0:10::8", 80, "hrn")],
    "gateway mode routed, -p 80": [
        ("10.215.9.9", 80, "hrn"),
        ("fd00:c0:11::9", 80, "hrn"),
        ("10.215.9.9", 81, "h"),
        ("fd00:c0:11::9", 81, "h"),
    ],
    "network --internal": [("10.215.10.10", 80, "h"), ("fd00:c0:12::a", 80, "h")],
    "gateway mode isolated": [("10.215.11.11", 80, ""), ("fd00:c0:13::b", 80, "")],
}
PUBLISHED = [
    PortBinding(80, host_port=8080),
    PortBinding(80, host_ip="0.0.0.0", host_port=8081),
    PortBinding(80, host_ip="127.0.0.1", host_port=8082),
    PortBinding(80, host_ip=HOST4, host_port=8083),
    PortBinding(80, host_ip="::1", host_port=8084),
    PortBinding(80, host_ip=HOST6, host_port=8085),
]


def test_the_page_has_every_row() -> None:
    rows = set(re.findall(r"^\| `?([^`|]+?)`? \|", PAGE.read_text(), re.MULTILINE)) - {"---", "published with"}
    own = {row.replace(HOST4, "192.0.2.2").replace(HOST6, "2001:db8::2") for row in TABLE}
    assert rows == own


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


async def place(net: Networking, box: Namespace, number: int, *, internal: bool = False, mode: str = "") -> None:
    """A network with IPv4 and IPv6 and one container on it, which serves ports 80 and 81 over both."""
    name, six = f"net{number}", f"fd00:c0:{number + 8:x}::"
    ipam = (IpamConfig.parse(f"10.215.{number}.0/24"), IpamConfig.parse(f"{six}/64"))
    options = {MODE4: mode, MODE6: mode} if mode else {}
    await net.create(NetworkSpec(name, ipam=ipam, enable_ipv6=True, options=options, internal=internal))
    spec = EndpointSpec(ipv4=f"10.215.{number}.{number}", ipv6=f"{six}{number:x}", container_name=name)
    await net.connect(name, box.container_id, box, spec)
    for port in (80, 81):
        box.serve("::", port, "box")  # IPv4 too


async def reach(sources: dict[str, Namespace | None], address: str, port: int) -> str:
    """The initials of those who get an answer."""

    def ask(source: Namespace | None) -> bool:
        def go() -> str:
            return fetch(address, port, timeout=0.5)

        return (source.run(go) if source else go()).startswith("box")

    answers = await asyncio.gather(*(asyncio.to_thread(ask, sources[name]) for name in SOURCES))
    return "".join(name[0] for name, answered in zip(SOURCES, answers, strict=True) if answered)


def test_who_reaches_what(facts: MemoryFacts, namespaces: Callable[[], Namespace]) -> None:
    async def story() -> None:
        async with daemon(facts, "w") as net:
            remote, box, neighbour = namespaces(), namespaces(), namespaces()
            with wire(remote):
                await place(net, box, 7)
                await net.publish(box.container_id, "box", PUBLISHED)
                await place(net, namespaces(), 8, mode="nat-unprotected")
                routed = namespaces()
                await place(net, routed, 9, mode="routed")
                await net.publish(routed.container_id, "routed", [PortBinding(80, host_port=8089)])
                await place(net, namespaces(), 10, internal=True)
                await place(net, namespaces(), 11, internal=True, mode="isolated")
                await place(net, neighbour, 12)
                sources = {"host": None, "remote": remote, "neighbour": neighbour}
                found, expected = [], []
                for row, cells in TABLE.items():
                    for address, port, who in cells:
                        found.append((row, address, port, await reach(sources, address, port)))
                        expected.append((row, address, port, who))
                assert found == expected
                # and the other way: containers leave with the host's address, over both protocols
                for host, address in ((HOST4, REMOTE4), (HOST6, REMOTE6)):
                    remote.serve(address, 8080, "remote")
                    answer = await asyncio.to_thread(box.run, lambda a=address: fetch(a, 8080))
                    assert answer == f"remote {host}"

    asyncio.run(story())
