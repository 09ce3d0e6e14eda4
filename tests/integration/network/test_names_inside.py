"""The embedded DNS as containers see it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.rig.facts import MemoryFacts

from corten.network import dns
from corten.network.model import EndpointSpec, NetworkSpec

from .conftest import Namespace, daemon

pytestmark = pytest.mark.root
Make = Callable[[], Namespace]


def ask(name: str, kind: int = dns.TYPE_A, *, tcp: bool = False) -> str:
    """Ask 127.0.0.11 from inside; "code addresses…"."""
    query = dns.encode_query(7, name, kind)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as sock:
        sock.settimeout(3)
        sock.connect(("127.0.0.11", 53))
        if tcp:
            sock.sendall(len(query).to_bytes(2, "big") + query)
            length = int.from_bytes(sock.recv(2), "big")
            answer = b""
            while len(answer) < length:
                answer += sock.recv(length - len(answer))
        else:
            sock.send(query)
            answer = sock.recv(4096)
    code, addresses = dns.answers_of(answer)
    return " ".join([str(code), *map(str, addresses)])


async def inside(namespace: Namespace, name: str, kind: int = dns.TYPE_A, *, tcp: bool = False) -> str:
    return await asyncio.to_thread(namespace.run, lambda: ask(name, kind, tcp=tcp))


class Upstream(asyncio.DatagramProtocol):
    """A server elsewhere: knows one name."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, client: tuple[str, int]) -> None:
        question = dns.parse_query(data)
        known = question.name == "elsewhere.example"
        answer = dns.reply(
            question, [dns.ip_address("203.0.113.9")] if known else (), dns.NOERROR if known else dns.NXDOMAIN
        )
        self.transport.sendto(answer, client)  # type: ignore[attr-defined]


def test_names_aliases_round_robin_and_forwarding(facts: MemoryFacts, namespaces: Make, tmp_path: Path) -> None:
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("nameserver 127.0.53.53\n")

    async def story() -> None:
        loop = asyncio.get_running_loop()
        upstream, _ = await loop.create_datagram_endpoint(Upstream, local_addr=("127.0.53.53", 53))
        async with daemon(facts, "n", host_resolv_conf=resolv_conf) as net:
            await net.create(NetworkSpec("app"))
            await net.create(NetworkSpec("dark", internal=True))
            web, api1, api2, hidden = (namespaces() for _ in range(4))
            found = {}
            for namespace, name, network in (
                (web, "web", "app"),
                (api1, "api1", "app"),
                (api2, "api2", "app"),
                (hidden, "hidden", "dark"),
            ):
                spec = EndpointSpec(container_name=name, aliases=("api",) if name.startswith("api") else ())
                endpoint = await net.connect(network, namespace.container_id, namespace, spec)
                assert endpoint.ipv4 is not None
                found[name] = str(endpoint.ipv4.ip)
            for tcp in (False, True):
                assert await inside(web, "API1", tcp=tcp) == f"0 {found['api1']}"
            assert await inside(web, api2.container_id[:12]) == f"0 {found['api2']}"
            assert await inside(web, "web.app") == f"0 {found['web']}"
            answers = [await inside(web, "api") for _ in range(2)]
            assert {each.split()[1] for each in answers} == {found["api1"], found["api2"]}
            assert await inside(web, "api1", dns.TYPE_AAAA) == "0", "the name exists, the record does not"
            assert await inside(web, "elsewhere.example") == "0 203.0.113.9"
            assert await inside(web, "nowhere.example") == str(dns.NXDOMAIN)
            assert await inside(web, "hidden") == str(dns.NXDOMAIN), "no leak between networks"
            assert await inside(hidden, "elsewhere.example") == str(dns.SERVFAIL), "internal does not forward"
            await net.rename(api1.container_id, "renamed")
            assert await inside(web, "renamed") == f"0 {found['api1']}"
            await net.release(api2.container_id)
            assert await inside(web, "api") == f"0 {found['api1']}"
        upstream.close()

    asyncio.run(story())
