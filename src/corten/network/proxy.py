"""The userland proxy: answers on held ports where no rule can lead a packet to the container.

Owns: relaying of TCP connections and UDP datagrams from a held socket to a container's address.  That is what comes
from the host's own [::1], what comes over IPv6 for a container that has only IPv4, everything in host-firewall mode,
and what arrives while somebody has flushed the rules.  The sockets belong to ``ports.py``; who closes what: this file
closes only what it opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass, field

from corten.network.model import IPAddress

Client = tuple[str, int]  # of IPv6 there are two more fields, which nobody here looks at

_CHUNK = 1 << 16
_CONNECT_TIMEOUT = 10.0
_UDP_IDLE = 90.0
_UDP_CLIENTS = 1024


def _family(address: IPAddress) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


class TcpProxy:
    """Relays every connection that a listening socket gets."""

    def __init__(self, listener: socket.socket, address: IPAddress, port: int) -> None:
        self._listener = listener
        self._target = (str(address), port)
        self._family = _family(address)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        self._loop.remove_reader(self._listener)
        for task in self._tasks:
            task.cancel()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # gone again, or no descriptors left: the next one will do
        client.setblocking(False)
        task = self._loop.create_task(self._serve(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as server:
            try:
                async with asyncio.timeout(_CONNECT_TIMEOUT):
                    await self._loop.sock_connect(server, self._target)
            except (OSError, TimeoutError):
                return
            async with asyncio.TaskGroup() as group:
                group.create_task(self._relay(client, server))
                group.create_task(self._relay(server, client))

    async def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        """Copy until the end, then pass the end on: each direction closes by itself."""
        with contextlib.suppress(OSError):
            while data := await self._loop.sock_recv(source, _CHUNK):
                await self._loop.sock_sendall(sink, data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@dataclass(slots=True)
class _Flow:
    """The datagrams of one client."""

    sock: socket.socket
    used_at: float = field(default=0.0)


class UdpProxy:
    """Relays the datagrams that a bound socket gets; a client is forgotten when it is silent for a while."""

    def __init__(self, holder: socket.socket, address: IPAddress, port: int) -> None:
        self._holder = holder
        self._target = (str(address), port)
        self._family = _family(address)
        self._flows: dict[Client, _Flow] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(holder, self._from_clients)
        self._sweep: asyncio.TimerHandle | None = None

    def close(self) -> None:
        self._loop.remove_reader(self._holder)
        if self._sweep:
            self._sweep.cancel()
        for client in list(self._flows):
            self._forget(client)

    def _from_clients(self) -> None:
        with contextlib.suppress(OSError):
            for _ in range(64):  # then let the loop do something else
                data, client = self._holder.recvfrom(_CHUNK)
                flow = self._flows.get(client) or self._open(client)
                if flow is not None:
                    flow.used_at = self._loop.time()
                    flow.sock.send(data)

    def _open(self, client: Client) -> _Flow | None:
        if len(self._flows) >= _UDP_CLIENTS:
            return None
        sock = socket.socket(self._family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            sock.connect(self._target)
        except OSError:
            sock.close()
            return None
        self._flows[client] = flow = _Flow(sock)
        self._loop.add_reader(sock, self._from_server, client)
        if self._sweep is None:
            self._sweep = self._loop.call_later(_UDP_IDLE / 2, self._forget_idle)
        return flow

    def _from_server(self, client: Client) -> None:
        flow = self._flows[client]
        with contextlib.suppress(OSError):
            for _ in range(64):
                self._holder.sendto(flow.sock.recv(_CHUNK), client)
                flow.used_at = self._loop.time()

    def _forget_idle(self) -> None:
        oldest = self._loop.time() - _UDP_IDLE
        for client in [client for client, flow in self._flows.items() if flow.used_at < oldest]:
            self._forget(client)
        self._sweep = self._loop.call_later(_UDP_IDLE / 2, self._forget_idle) if self._flows else None

    def _forget(self, client: Client) -> None:
        flow = self._flows.pop(client)
        self._loop.remove_reader(flow.sock)
        flow.sock.close()
