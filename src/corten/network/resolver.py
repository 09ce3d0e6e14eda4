"""The embedded DNS server at 127.0.0.11 of containers on networks with names.

Owns: the sockets that live in the containers' network namespaces, the redirection of port 53 to them, and the
forwarding of what no network knows to the host's servers.  What is answered: ``dns.py``.  The sockets are served by the
daemon, so nothing of ours runs inside; they keep the namespace alive, hence ``stop`` when the container stops.

The sockets sit on a high port, and a rule in the container's namespace leads port 53 of 127.0.0.11 to
them, so that a DNS server in the container may have port 53 itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, ip_network
from pathlib import Path

from corten.kernel.netlink import netfilter, statements
from corten.kernel.netlink.codec import NETLINK_NETFILTER, Request
from corten.kernel.netlink.netfilter import Chain, Rule, Table
from corten.kernel.netlink.socket import Netlink
from corten.network import dns, resolv
from corten.network.dns import Malformed, Question, Zone

ADDRESS = "127.0.0.11"
WANTED = (
    (socket.AF_INET, socket.SOCK_DGRAM, 0),
    (socket.AF_INET, socket.SOCK_STREAM, 0),
    (socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER),
)
_USUAL_PORT = 41153  # the same for nearly all, so that the rules are made once
_BURST = 64
_TIMEOUT = 4.0  # docker: for one server
_IDLE = 30.0
_MOST_FORWARDED = 1024
_TABLE = "corten_dns"


@functools.lru_cache(8)
def redirection(udp_port: int, tcp_port: int) -> Table:
    """The rules of the container's namespace."""
    there = statements.prefix("ip daddr", ip_network(f"{ADDRESS}/32"))
    rules = (
        Rule((there, statements.destination_port("udp", 17, 53), _to(udp_port))),
        Rule((there, statements.destination_port("tcp", 6, 53), _to(tcp_port))),
    )
    return Table(_TABLE, netfilter.NFPROTO_IPV4, (), (Chain("output", rules, "nat", "output", -100),))


def _to(port: int) -> netfilter.Statement:
    return statements.destination_nat(IPv4Address(ADDRESS), port)


def bind(udp: socket.socket, tcp: socket.socket, control: socket.socket, *, fresh: bool) -> None:
    """Put the sockets in their places; the namespace's loopback is up.  Closes ``control``.  Blocks.

    ``fresh``: no rules of ours are there yet.  Not deleting what is not there matters: after a deletion, closing an
    nfnetlink socket waits for an RCU grace period.
    """
    rules = redirection(_bind(udp), _bind(tcp))
    requests = _making(rules) if fresh else netfilter.replace_table(rules)
    with Netlink(control) as netlink:
        netlink.transact(netfilter.begin_batch(), requests, netfilter.end_batch())
    tcp.listen(64)


def _bind(sock: socket.socket) -> int:
    try:
        sock.bind((ADDRESS, _USUAL_PORT))
    except OSError:  # a server of the container's has it
        sock.bind((ADDRESS, 0))
    return int(sock.getsockname()[1])


@functools.lru_cache(8)
def _making(rules: Table) -> list[Request]:
    return netfilter.make_table(rules)


class HostServers:
    """The servers of the host's resolv.conf, read again when the file changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._servers: tuple[str, ...] = ()

    def __call__(self) -> tuple[str, ...]:
        try:
            stat = os.stat(self._path)
            stamp = (stat.st_mtime_ns, stat.st_ino)
        except OSError:
            stamp = (0, 0)
        if stamp != self._stamp:
            self._servers = resolv.upstream_servers(resolv.host_resolv_conf(self._path))
            self._stamp = stamp
        return self._servers


class Forwarder:
    """Asks other servers, from the host.  One socket a question, so that ports are hard to guess."""

    def __init__(self) -> None:
        self._busy = 0

    async def ask(self, data: bytes, servers: Sequence[str], *, tcp: bool) -> bytes | None:
        """Return the first server's reply as it came; None when nobody answered."""
        if self._busy >= _MOST_FORWARDED:
            return None
        self._busy += 1
        try:
            for server in servers:
                with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                    async with asyncio.timeout(_TIMEOUT):
                        return await (self._ask_tcp(data, server) if tcp else self._ask_udp(data, server))
            return None
        finally:
            self._busy -= 1

    async def _ask_udp(self, data: bytes, server: str) -> bytes:
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            sock.connect((server, 53))
            await loop.sock_sendall(sock, data)
            while True:
                answer = await loop.sock_recv(sock, 65535)
                if _fits(data, answer):
                    return answer

    async def _ask_tcp(self, data: bytes, server: str) -> bytes:
        reader, writer = await asyncio.open_connection(server, 53)
        try:
            writer.write(len(data).to_bytes(2, "big") + data)
            answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        finally:
            writer.close()
        if not _fits(data, answer):
            raise OSError(errno.EPROTO, "the answer is to something else")
        return answer


def _fits(query: bytes, answer: bytes) -> bool:
    """Whether an answer has the query's number and, where it repeats a question, the query's question."""
    if len(answer) < 12 or answer[:2] != query[:2] or not answer[2] & 0x80:
        return False
    if answer[4:6] == b"\0\0":
        return True
    try:
        question = dns.parse_query(query)
    except Malformed:
        return True
    return answer[12 : 12 + len(question.wire)].lower() == question.wire.lower()


class Resolver:
    """The server of one container."""

    def __init__(
        self,
        zone: Callable[[], Zone],
        servers: Callable[[], Sequence[str]],
        forwarder: Forwarder,
        made: list[socket.socket],
    ) -> None:
        self._zone = zone
        self._servers = servers  # none where the container may not reach the outside
        self._forwarder = forwarder
        self._udp, self._tcp = made
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        for sock, ready in ((self._udp, self._datagrams), (self._tcp, self._accept)):
            sock.setblocking(False)
            self._loop.add_reader(sock, ready)

    def stop(self) -> None:
        """Close the sockets, which lets the namespace go."""
        for task in list(self._tasks):
            task.cancel()
        for sock in (self._udp, self._tcp):
            self._loop.remove_reader(sock)
            sock.close()

    def _datagrams(self) -> None:
        for _ in range(_BURST):
            try:
                data, client = self._udp.recvfrom(4096)
            except OSError:
                return
            answer = self._answer(data, tcp=False)
            if answer is None:
                self._spawn(self._forward_datagram(data, client))
            else:
                self._reply(answer, client)

    def _reply(self, data: bytes, client: tuple[str, int]) -> None:
        with contextlib.suppress(OSError):
            if data:
                self._udp.sendto(data, client)

    def _answer(self, data: bytes, *, tcp: bool) -> bytes | None:
        """What we know ourselves; None where others are to be asked."""
        try:
            question = dns.parse_query(data)
        except Malformed:
            return dns.refusal(data, dns.FORMERR)
        if not question.is_standard:
            return dns.refusal(data, dns.NOTIMP)
        found = self._zone().answer(question)
        if found is None:
            return None
        return dns.reply(question, found, size=65535 if tcp else question.udp_size)

    async def _forward_datagram(self, data: bytes, client: tuple[str, int]) -> None:
        self._reply(await self._forward(data, tcp=False), client)

    async def _forward(self, data: bytes, *, tcp: bool) -> bytes:
        servers = self._servers()
        answer = await self._forwarder.ask(data, servers, tcp=tcp) if servers else None
        return answer if answer is not None else _failure(data)

    # ── TCP ────────────────────────────────────────────────────────────────────────────────────────

    def _accept(self) -> None:
        try:
            client, _ = self._tcp.accept()
        except OSError:
            return
        self._spawn(self._converse(client))

    async def _converse(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(sock=client)
            try:
                while True:
                    async with asyncio.timeout(_IDLE):
                        data = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                    answer = self._answer(data, tcp=True)
                    if answer is None:
                        answer = await self._forward(data, tcp=True)
                    if not answer:
                        return
                    writer.write(len(answer).to_bytes(2, "big") + answer)
                    await writer.drain()
            finally:
                writer.close()

    def _spawn(self, work: asyncio._CoroutineLike[None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _failure(data: bytes) -> bytes:
    try:
        question: Question = dns.parse_query(data)
    except Malformed:
        return dns.refusal(data, dns.FORMERR)
    return dns.reply(question, code=dns.SERVFAIL)
