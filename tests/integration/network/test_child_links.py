"""macvlan and ipvlan: they work, or say clearly that this kernel has none; either way nothing stays behind."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from ipaddress import ip_interface
from pathlib import Path

import pytest
from tests.rig.facts import MemoryFacts

from corten.errors import Invalid, NotImplementedYet
from corten.kernel.netlink import route
from corten.kernel.netlink.codec import NETLINK_ROUTE
from corten.kernel.netlink.socket import Netlink
from corten.network import apply
from corten.network.model import EndpointSpec, IpamConfig, NetworkSpec

from .conftest import Namespace, daemon, fetch

pytestmark = pytest.mark.root


@pytest.mark.parametrize("kind", ["macvlan", "ipvlan"])
def test_child_of_a_link(kind: str, facts: MemoryFacts, namespaces: Callable[[], Namespace]) -> None:
    async def story() -> None:
        async with daemon(facts, "m") as net:
            box = namespaces()
            await net.create(NetworkSpec("lan", driver=kind, options={"parent": "ctm0"}))  # our own bridge as parent
            try:
                await net.connect("lan", box.container_id, box, EndpointSpec(container_name="box"))
            except NotImplementedYet as error:
                assert kind in error.message
                assert net.endpoints_of(box.container_id) == []
            else:
                interfaces = box.run(lambda: Path("/proc/net/dev").read_text())
                assert "eth0" in interfaces
                await net.release(box.container_id)
            with pytest.raises(Invalid, match="no such link on the host"):
                await net.create(NetworkSpec("far", driver=kind, options={"parent": "nothere0"}))
            try:
                await net.create(NetworkSpec("alone", driver=kind))
            except NotImplementedYet as error:
                assert "dummy" in error.message
                assert [network.name for network in net.all() if network.name == "alone"] == []

    asyncio.run(story())


@pytest.mark.parametrize("kind", ["macvlan", "ipvlan"])
def test_containers_are_on_the_wire_of_the_host(
    kind: str, facts: MemoryFacts, namespaces: Callable[[], Namespace]
) -> None:
    """Children of the host's uplink reach one another and whoever is at its far end; nothing is translated."""

    async def story() -> None:
        async with daemon(facts, "n") as net:
            remote, one, two = namespaces(), namespaces(), namespaces()
            netns_fd = remote.netns_fd()
            [control] = remote.make_sockets([(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE)])
            with Netlink.open() as host, Netlink(control) as far:
                host.perform(route.create_veth("lan0", route.Peer("wire", netns_fd)))
                os.close(netns_fd)
                link = apply.find_link(far, "wire")
                assert link is not None
                address = ip_interface("10.216.0.1/24")
                far.perform(route.add_address(link.index, address), route.set_link(link.index, up=True))
            ipam = (IpamConfig.parse("10.216.0.0/24", gateway="10.216.0.1"),)
            await net.create(NetworkSpec("lan", driver=kind, options={"parent": "lan0"}, ipam=ipam))
            try:
                await net.connect("lan", one.container_id, one, EndpointSpec(ipv4="10.216.0.7", container_name="one"))
            except NotImplementedYet as error:
                pytest.skip(error.message)
            await net.connect("lan", two.container_id, two, EndpointSpec(ipv4="10.216.0.8", container_name="two"))
            for box, name in ((one, "one"), (remote, "remote")):
                box.serve("0.0.0.0", 80, name)
            for source, target, answer in (
                (two, "10.216.0.7", "one 10.216.0.8"),
                (remote, "10.216.0.7", "one 10.216.0.1"),
                (one, "10.216.0.1", "remote 10.216.0.7"),
            ):
                assert await asyncio.to_thread(source.run, lambda t=target: fetch(t, 80)) == answer
            assert {each.reachable_from for each in net.exposures()} == {"the network of lan0"}
            for box in (one, two):
                await net.release(box.container_id)
            await net.remove("lan")
            with Netlink.open() as host:
                assert apply.find_link(host, "lan0"), "the parent is the host's, not ours"
                apply.remove_link(host, "lan0")

    asyncio.run(story())
