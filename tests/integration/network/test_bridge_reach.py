"""Who reaches whom: published ports, isolation, internal networks, over real bridges and rules."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.rig.facts import MemoryFacts

from corten.errors import Conflict, Denied, Internal, Invalid
from corten.network.model import EndpointSpec, IpamConfig, NetworkSpec, PortBinding

from .conftest import Namespace, daemon, fetch, fetch_async

pytestmark = pytest.mark.root
Make = Callable[[], Namespace]


def host_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("192.0.2.254", 9))
        return str(sock.getsockname()[0])


async def inside(namespace: Namespace, address: str, port: int, **options: Any) -> str:
    return await asyncio.to_thread(namespace.run, lambda: fetch(address, port, **options))


def test_published_ports_answer_on_every_address_of_the_host(facts: MemoryFacts, namespaces: Make) -> None:
    async def story() -> None:
        async with daemon(facts, "a") as net:
            web, other = namespaces(), namespaces()
            await net.connect("bridge", web.container_id, web, EndpointSpec(container_name="web"))
            await net.connect("bridge", other.container_id, other, EndpointSpec(container_name="other"))
            wanted = [PortBinding(80, host_port=27080), PortBinding(53, "udp", host_port=27053)]
            bound = await net.publish(web.container_id, "web", wanted)
            assert {(each.host_ip, each.host_port) for each in bound if each.protocol == "tcp"} >= {("0.0.0.0", 27080)}
            web.serve("0.0.0.0", 80, "web")
            web.serve("0.0.0.0", 53, "dns", "udp")
            address = str(net.endpoints_of(web.container_id)[0].ipv4).split("/")[0]
            own = host_address()
            for host in ("127.0.0.1", own, "::1", "10.213.0.1"):
                assert (await fetch_async(host, 27080)).startswith("web"), host
                assert (await fetch_async(host, 27053, protocol="udp")).startswith("dns"), host
            assert (await fetch_async(own, 27080)) == f"web {own}", "the host's address is not hidden"
            for client in (other, web):  # a neighbour, and the container itself: hairpin
                assert (await inside(client, own, 27080)).startswith("web")
            assert (await inside(other, address, 80)).startswith("web")
            # a container must not reach the host's loopback through the bridge
            assert not (await inside(other, "127.0.0.1", 27080)).startswith("web")
            await net.release(web.container_id)
            assert await fetch_async("127.0.0.1", 27080) == "ConnectionRefusedError"

    asyncio.run(story())


def test_a_port_that_is_taken_is_refused_before_anything_starts(facts: MemoryFacts, namespaces: Make) -> None:
    async def story() -> None:
        async with daemon(facts, "b") as net:
            await net.reserve("1" * 64, "first", [PortBinding(80, host_port=27081)])
            with pytest.raises(Internal, match=r"endpoint second .*Bind for 0\.0\.0\.0:27081 failed: port is already"):
                await net.reserve(
                    "2" * 64, "second", [PortBinding(81, host_port=27082), PortBinding(80, host_port=27081)]
                )
            await net.reserve("3" * 64, "third", [PortBinding(80, host_port=27082)])  # nothing of the second stayed
            with socket.create_server(("127.0.0.1", 27083)), pytest.raises(Internal, match="address already in use"):
                await net.reserve("4" * 64, "fourth", [PortBinding(80, host_port=27083)])
            free = await net.reserve("5" * 64, "fifth", [PortBinding(80), PortBinding(81)])
            assert len({each.host_port for each in free}) == 2
            ranged = await net.reserve("6" * 64, "sixth", [PortBinding(80, host_port=27081, host_port_end=27089)])
            assert ranged[0].host_port == 27083
            for number in range(1, 7):
                await net.release(str(number) * 64)

    asyncio.run(story())


def test_networks_are_cut_off_from_one_another(facts: MemoryFacts, namespaces: Make) -> None:
    async def story() -> None:
        async with daemon(facts, "c") as net:
            await net.create(NetworkSpec("red"))
            await net.create(NetworkSpec("blue"))
            await net.create(NetworkSpec("sealed", internal=True))
            await net.create(NetworkSpec("shy", options={"com.docker.network.bridge.enable_icc": "false"}))
            placed = {}
            for name, network in (
                ("r1", "red"),
                ("r2", "red"),
                ("b1", "blue"),
                ("s1", "sealed"),
                ("s2", "sealed"),
                ("y1", "shy"),
                ("y2", "shy"),
            ):
                namespace = namespaces()
                endpoint = await net.connect(
                    network, namespace.container_id, namespace, EndpointSpec(container_name=name)
                )
                namespace.serve("0.0.0.0", 80, name)
                assert endpoint.ipv4 is not None
                placed[name] = (namespace, str(endpoint.ipv4.ip))
            await net.publish(placed["b1"][0].container_id, "b1", [PortBinding(80, host_port=27084)])
            reach = {
                ("r1", "r2"): True,
                ("r1", "b1"): False,
                ("b1", "r1"): False,
                ("r1", "s1"): False,
                ("s1", "s2"): True,
                ("s1", "r1"): False,
                ("y1", "y2"): False,
                ("y1", "r1"): False,
            }
            for (source, target), expected in reach.items():
                answer = await inside(placed[source][0], placed[target][1], 80, timeout=0.4)
                assert answer.startswith(target) is expected, (source, target, answer)
            own = host_address()
            assert (await inside(placed["r1"][0], own, 27084)).startswith("b1"), "published is published for all"
            assert not (await inside(placed["s1"][0], own, 27084, timeout=0.4)).startswith("b1"), "internal is sealed"
            assert (await fetch_async(placed["s1"][1], 80)).startswith("s1"), "the host itself reaches its containers"

    asyncio.run(story())


def test_ipv6_network_static_addresses_and_several_networks(facts: MemoryFacts, namespaces: Make) -> None:
    async def story() -> None:
        async with daemon(facts, "d") as net:
            ipam = (
                IpamConfig.parse("10.215.1.0/24", "10.215.1.128/25", "10.215.1.254"),
                IpamConfig.parse("fd00:c0:d::/64"),
            )
            dual = await net.create(NetworkSpec("dual", ipam=ipam, enable_ipv6=True))
            await net.create(NetworkSpec("plain"))
            one, two = namespaces(), namespaces()
            spec = EndpointSpec(ipv4="10.215.1.7", container_name="one")
            first = await net.connect("dual", one.container_id, one, spec)
            assert str(first.ipv4) == "10.215.1.7/24"
            assert (first.mac, str(first.gateway4)) == ("02:42:0a:d7:01:07", "10.215.1.254")
            second = await net.connect("dual", two.container_id, two, EndpointSpec(container_name="two"))
            assert str(second.ipv4) == "10.215.1.128/24"
            assert second.ipv6 is not None
            two.serve("::", 80, "six")
            assert (await inside(one, str(second.ipv6.ip), 80)) == f"six {first.ipv6.ip if first.ipv6 else ''}"
            with pytest.raises(Denied, match="Address already in use"):
                await net.connect("dual", "7" * 64, None, EndpointSpec(ipv4="10.215.1.7"))
            with pytest.raises(Invalid, match="user configured subnets"):
                await net.connect("plain", "7" * 64, None, EndpointSpec(ipv4="10.215.1.7"))
            await net.publish(two.container_id, "two", [PortBinding(80, host_port=27085)])
            assert (await fetch_async("::1", 27085)).startswith("six")
            # a second network, with the default route by priority, and off again
            extra = await net.connect("plain", one.container_id, one, EndpointSpec(gw_priority=5, container_name="one"))
            assert extra.interface == "eth1"
            assert str(extra.gateway4) in one.run(default_route)
            await net.disconnect("plain", one.container_id, one)
            assert "10.215.1.254" in one.run(default_route)
            with pytest.raises(Denied, match="has active endpoints"):
                await net.remove("dual")
            await net.release(one.container_id)
            await net.release(two.container_id)
            assert (await net.remove(dual.id[:10])).name == "dual"
            with pytest.raises(Conflict, match="already exists"):
                await net.create(NetworkSpec("plain"))

    asyncio.run(story())


def default_route() -> str:
    for line in Path("/proc/net/route").read_text().splitlines():
        words = line.split()
        if words[1] == "00000000":
            return socket.inet_ntoa(bytes.fromhex(words[2])[::-1])
    return "none"


def test_a_range_of_ports_is_one_element(facts: MemoryFacts, namespaces: Make) -> None:
    async def story() -> None:
        async with daemon(facts, "e") as net:
            box = namespaces()
            await net.connect("bridge", box.container_id, box, EndpointSpec(container_name="box"))
            wanted = [PortBinding(port, host_ip="127.0.0.1", host_port=port) for port in range(20000, 30000)]
            await net.publish(box.container_id, "box", wanted)
            assert len(net._enforcer.current.forwards) == 1
            box.serve("0.0.0.0", 21234, "ranged")
            assert (await fetch_async("127.0.0.1", 21234)).startswith("ranged")
            with pytest.raises(Internal, match="port is already allocated"):
                await net.reserve("8" * 64, "late", [PortBinding(80, host_port=21000)])
            assert not (await fetch_async(host_address(), 21234)).startswith("ranged"), "not further than asked"

    asyncio.run(story())


def test_a_client_that_keeps_its_port_reaches_the_new_container(facts: MemoryFacts, namespaces: Make) -> None:
    """UDP: the flow to the container that had the port before must be forgotten."""

    async def story() -> None:
        async with daemon(facts, "g") as net:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(1)
                client.connect(("127.0.0.1", 27086))

                def ask() -> str:
                    client.send(b"?")
                    return client.recv(100).decode()

                for name in ("old", "new"):
                    box = namespaces()
                    placeholder = await net.connect("bridge", name * 20, None, EndpointSpec())
                    await net.connect("bridge", box.container_id, box, EndpointSpec(container_name=name))
                    await net.publish(box.container_id, name, [PortBinding(53, "udp", host_port=27086)])
                    box.serve("0.0.0.0", 53, name, "udp")
                    await asyncio.sleep(0.1)
                    assert (await asyncio.to_thread(ask)).startswith(name)
                    assert placeholder.ipv4 is not None  # so that the second one gets another address
                    await net.release(box.container_id)
                    await asyncio.sleep(0.1)

    asyncio.run(story())


def test_host_firewall_mode_leaves_published_ports_to_the_hosts_input_rules(
    facts: MemoryFacts, namespaces: Make
) -> None:
    async def story() -> None:
        async with daemon(facts, "h", host_firewall=True) as net:
            box = namespaces()
            await net.connect("bridge", box.container_id, box, EndpointSpec(container_name="box"))
            await net.publish(box.container_id, "box", [PortBinding(80, host_port=27087)])
            box.serve("0.0.0.0", 80, "box")
            assert net._enforcer.current.forwards == frozenset(), "nothing is translated past the host's INPUT"
            for host in ("127.0.0.1", host_address(), "::1"):
                assert await fetch_async(host, 27087) == "box 10.213.0.1", host
            assert [each.first for each in net.exposures()] == [27087, 27087]

    asyncio.run(story())
