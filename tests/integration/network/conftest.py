"""Network namespaces as containers and as other hosts, and a facts store in memory."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import secrets
import signal
import socket
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from ipaddress import ip_interface
from typing import Any

import pytest
from tests.rig.facts import MemoryFacts

from corten.kernel.netlink import route
from corten.kernel.netlink.socket import Netlink
from corten.network.service import Networking

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _call(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Namespace:
    """A network namespace held open by a sleeping child; work inside is done by forked children."""

    def __init__(self) -> None:
        ready_r, ready_w = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _call(_libc.unshare(CLONE_NEWNET))
            os.write(ready_w, b"x")
            os.closerange(3, 4096)
            signal.pause()
            os._exit(0)
        os.close(ready_w)
        os.read(ready_r, 1)
        os.close(ready_r)
        self._fd: int | None = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.container_id = secrets.token_hex(32)

    def netns_fd(self) -> int:
        assert self._fd is not None
        return os.dup(self._fd)

    async def sockets(self, wanted: Sequence[tuple[int, int, int]]) -> list[socket.socket]:
        return self.make_sockets(wanted)

    def make_sockets(self, wanted: Sequence[tuple[int, int, int]]) -> list[socket.socket]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                self._enter(theirs.fileno())
                made = [socket.socket(*each) for each in wanted]
                socket.send_fds(theirs, [b"x"], [each.fileno() for each in made])
                code = 0
            finally:
                os._exit(code)
        theirs.close()
        _, fds, _, _ = socket.recv_fds(ours, 16, len(wanted))
        ours.close()
        os.waitpid(pid, 0)
        return [socket.socket(fileno=fd) for fd in fds]

    def _enter(self, *kept: int) -> None:
        """In a child: go inside, and keep no descriptor of the daemon's (they would hold its ports)."""
        assert self._fd is not None
        _call(_libc.setns(self._fd, CLONE_NEWNET))
        low = 3
        for fd in sorted(kept):
            os.closerange(low, fd)
            low = fd + 1
        os.closerange(low, 4096)

    def run(self, work: Callable[[], str]) -> str:
        """Do something inside; returns what it returned, or the exception's name."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                self._enter(writer)
                signal.alarm(20)
                answer = work()
            except BaseException as error:
                answer = type(error).__name__
            os.write(writer, answer.encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as stream:
            answer = stream.read()
        os.waitpid(pid, 0)
        return answer

    def serve(self, address: str, port: int, answer: str, protocol: str = "tcp") -> int:
        """Start a server that answers every connection or datagram with ``answer`` and the peer's address."""
        ready_r, ready_w = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                self._enter(ready_w)
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
                with socket.socket(family, kind) as sock:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    sock.bind((address, port))
                    if protocol == "tcp":
                        sock.listen(16)
                    os.write(ready_w, b"x")
                    while True:
                        if protocol == "tcp":
                            client, peer = sock.accept()
                            client.sendall(f"{answer} {peer[0]}".encode())
                            client.close()
                        else:
                            _, peer = sock.recvfrom(100)
                            sock.sendto(f"{answer} {peer[0]}".encode(), peer)
            finally:
                os._exit(1)
        os.close(ready_w)
        os.read(ready_r, 1)
        os.close(ready_r)
        self._servers.append(pid)
        return pid

    @staticmethod
    def isolated(work: Callable[[], object]) -> int:
        """Run something in a child with a fresh network namespace; returns 0 if it did not raise."""
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                _call(_libc.unshare(CLONE_NEWNET))
                work()
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    @property
    def _servers(self) -> list[int]:
        return self.__dict__.setdefault("servers", [])

    def close(self) -> None:
        for pid in [*self._servers, self.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def fetch(address: str, port: int, *, protocol: str = "tcp", timeout: float = 1.0) -> str:
    """Ask a server of ``Namespace.serve``; the exception's name where there is no answer."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family, kind) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect((address, port))
            if protocol == "udp":
                sock.send(b"?")
            return sock.recv(200).decode()
        except OSError as error:
            return type(error).__name__


async def fetch_async(address: str, port: int, **options: Any) -> str:
    return await asyncio.to_thread(lambda: fetch(address, port, **options))


@pytest.fixture(autouse=True)
def own_host() -> Iterator[None]:
    """The test's host is a network namespace of its own: its ports, bridges and rules meet nobody else's.

    This thread enters it, and so do the threads and children that the test starts.  An uplink gives it an address.
    """
    if os.geteuid() != 0:
        yield
        return
    with open("/proc/thread-self/ns/net") as before:
        _call(_libc.unshare(CLONE_NEWNET))
        try:
            with Netlink.open() as netlink, open("/proc/thread-self/ns/net") as own:
                netlink.perform(route.create_veth("up0", route.Peer("up1", own.fileno())))
                for name, address in (("up0", "192.0.2.1/24"), ("up0", "2001:db8::1/64"), ("up1", "")):
                    index = socket.if_nametoindex(name)
                    if address:
                        netlink.perform(route.add_address(index, ip_interface(address)))
                    netlink.perform(route.set_link(index, up=True))
                netlink.perform(route.set_link(route.LOOPBACK, up=True))
            yield
        finally:
            _call(_libc.setns(before.fileno(), CLONE_NEWNET))


@pytest.fixture
def namespaces() -> Iterator[Callable[[], Namespace]]:
    made: list[Namespace] = []

    def make() -> Namespace:
        made.append(Namespace())
        return made[-1]

    yield make
    for namespace in made:
        namespace.close()


@pytest.fixture
def facts() -> MemoryFacts:
    return MemoryFacts()


def settings(name: str) -> dict[str, Any]:
    """Names and addresses of a daemon that nobody else uses."""
    return {
        "default_bridge": f"ct{name}0",
        "table": f"corten-test-{name}",
        "bip": "10.213.0.1/24",
        "address_pools": (("10.214.0.0/16", 24),),
        "instance": name,
    }


@contextlib.asynccontextmanager
async def daemon(facts: MemoryFacts, name: str, **options: Any) -> AsyncIterator[Networking]:
    """A daemon's networking that leaves nothing behind."""
    networking = Networking(facts, **{**settings(name), **options})
    await networking.open()
    try:
        yield networking
    finally:
        await networking.uninstall()
