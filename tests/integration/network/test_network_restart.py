"""The daemon dies and comes back; somebody flushes the rules; nothing is doubled, nothing is lost."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable

import pytest
from tests.rig.facts import MemoryFacts

from corten.kernel.netlink import netfilter
from corten.kernel.netlink.codec import NETLINK_NETFILTER
from corten.kernel.netlink.socket import Netlink
from corten.network import firewall
from corten.network.model import EndpointSpec, NetworkSpec, PortBinding
from corten.network.service import Networking

from .conftest import Namespace, daemon, fetch_async, settings

pytestmark = pytest.mark.root
Make = Callable[[], Namespace]


def listing(table: str) -> list[str]:
    """What the table holds; the kernel lists the elements of a set in no particular order."""
    command = ["nft", "list", "table", "inet", table]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = text.replace("elements = {", "\n").replace(",", "\n").splitlines()
    return sorted(line.strip(" \t}") for line in lines)


def test_everything_is_there_again_after_a_restart(facts: MemoryFacts, namespaces: Make) -> None:
    async def story() -> None:
        first = Networking(facts, **settings("r"))
        await first.open()
        web, gone = namespaces(), namespaces()
        await first.create(NetworkSpec("app"))
        spec = EndpointSpec(container_name="web")
        endpoint = await first.connect("app", web.container_id, web, spec)
        await first.connect("app", gone.container_id, gone, EndpointSpec(container_name="gone"))
        web.serve("0.0.0.0", 80, "web")
        await first.publish(web.container_id, "web", [PortBinding(80, host_port=27086)])
        await first.publish(gone.container_id, "gone", [PortBinding(80, host_port=27087)])
        before = listing("corten-test-r")
        await first.close()
        assert (await fetch_async("127.0.0.1", 27086)).startswith("web"), "rules work without the daemon"
        async with daemon(facts, "r") as second:
            assert listing("corten-test-r") == before
            await second.restore(web.container_id, web)
            await second.reconcile({web.container_id})
            assert second.endpoints_of(web.container_id) == [endpoint]
            assert second.endpoints_of(gone.container_id) == []
            for host in ("127.0.0.1", "::1"):
                assert (await fetch_async(host, 27086)).startswith("web"), host
            assert not any("27087" in line for line in listing("corten-test-r"))
            newcomer = await second.connect("app", "9" * 64, None, EndpointSpec())
            assert newcomer.ipv4 != endpoint.ipv4

    asyncio.run(story())


def test_an_interrupted_connect_is_finished(facts: MemoryFacts, namespaces: Make) -> None:
    async def story() -> None:
        first = Networking(facts, **settings("s"))
        await first.open()
        web = namespaces()
        await first.connect("bridge", web.container_id, None, EndpointSpec(container_name="web"))  # the record only
        await first.close()
        async with daemon(facts, "s") as second:
            await second.restore(web.container_id, web)
            [endpoint] = second.endpoints_of(web.container_id)
            assert endpoint.plugged
            assert endpoint.ipv4 is not None
            web.serve("0.0.0.0", 80, "web")
            assert (await fetch_async(str(endpoint.ipv4.ip), 80)).startswith("web")

    asyncio.run(story())


def test_a_foreign_flush_is_noticed_and_repaired(facts: MemoryFacts, namespaces: Make) -> None:
    async def story() -> None:
        repaired: asyncio.Queue[str] = asyncio.Queue()
        async with daemon(facts, "f", on_repair=repaired.put_nowait) as net:
            before = listing("corten-test-f")
            # `nft flush ruleset` for our table alone: the tables of others are not ours to flush
            with Netlink.open(NETLINK_NETFILTER) as foreign:
                frame = firewall.frame("corten-test-f")
                gone = [netfilter.delete_table(frame.family, frame.name)]
                foreign.transact(netfilter.begin_batch(), gone, netfilter.end_batch())
            assert "changed from outside" in await asyncio.wait_for(repaired.get(), 5)
            assert listing("corten-test-f") == before
            subprocess.run(["nft", "flush", "chain", "inet", "corten-test-f", "publish"], check=True)
            await asyncio.wait_for(repaired.get(), 5)
            assert listing("corten-test-f") == before
            await net.create(NetworkSpec("later"))  # our own changes are no foreign ones
            await asyncio.sleep(0.2)
            assert repaired.empty()

    asyncio.run(story())


def test_accepts_in_docker_user_are_not_doubled(facts: MemoryFacts) -> None:
    """In a namespace of its own, so that no real chain of dockerd's is touched."""
    code = Namespace.isolated(lambda: asyncio.run(_docker_user(facts)))
    assert code == 0


def docker_user() -> str:
    command = ["nft", "list", "chain", "ip", "filter", "DOCKER-USER"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


async def _docker_user(facts: MemoryFacts) -> None:
    for command in ("add table ip filter", "add chain ip filter DOCKER-USER"):
        subprocess.run(["nft", command], check=True)
    for _ in range(2):
        net = Networking(facts, **settings("u"))
        await net.open()
        await net.close()
    net = Networking(facts, **settings("u"))
    await net.open()
    rules = subprocess.run(
        ["nft", "list", "chain", "ip", "filter", "DOCKER-USER"], capture_output=True, text=True
    ).stdout
    assert rules.count('iifname "ctu0"') == 1, rules
    assert rules.count('oifname "ctu0"') == 1, rules
    await net.uninstall()
    rules = subprocess.run(
        ["nft", "list", "chain", "ip", "filter", "DOCKER-USER"], capture_output=True, text=True
    ).stdout
    assert "ctu0" not in rules
