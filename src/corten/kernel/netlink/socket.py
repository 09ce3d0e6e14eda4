"""Talking netlink over a given socket.

Owns: sequence numbers, acknowledgements, dumps and batches.  The socket may live in another network namespace: netlink
serves the namespace where its socket was made.  Never opens a namespace; blocks only as long as the kernel works on a
request (the kernel answers inside the send), so callers that mind run it in a thread.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TypeVar

from corten.kernel.netlink.codec import (
    NETLINK_ROUTE,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    Message,
    Request,
    encode,
    messages,
)

SOL_NETLINK = 270
NETLINK_ADD_MEMBERSHIP = 1
NETLINK_CAP_ACK = 10
NETLINK_EXT_ACK = 11
SO_SNDBUFFORCE = 32
_RECEIVE = 256 * 1024
_PATIENCE = 10.0
_DUMP_ATTEMPTS, _DUMP_PAUSE = 40, 0.005

T = TypeVar("T")


class NetlinkError(OSError):
    """The kernel refused a request."""


class DumpInterrupted(NetlinkError):
    """The listed things changed while they were listed."""


def refusal(code: int, what: str, explanation: str = "") -> NetlinkError:
    words = explanation or os.strerror(code)
    return NetlinkError(code, f"{what}: {words}" if what else words)


class Netlink:
    """One netlink socket, owned: closing this closes it."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._sequence = 1
        sock.setblocking(True)
        for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK):
            sock.setsockopt(SOL_NETLINK, option, 1)

    @classmethod
    def open(cls, protocol: int = NETLINK_ROUTE) -> Netlink:
        """Open one in the caller's own network namespace."""
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        sock.bind((0, 0))
        return cls(sock)

    @property
    def port(self) -> int:
        """The port id by which notifications name this socket."""
        return int(self._socket.getsockname()[0])

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Netlink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def perform(self, *requests: Request) -> None:
        """Send requests at once and wait for all; raises for the first one refused (the others were tried too)."""
        errors = self.attempt(*requests)
        for error in errors:
            if error is not None:
                raise error

    def attempt(self, *requests: Request) -> list[NetlinkError | None]:
        """Send requests at once; returns what each came to."""
        first = self._send([Request(r.type, r.flags | NLM_F_ACK, r.body, r.what) for r in requests])
        results: list[NetlinkError | None] = [None] * len(requests)
        waiting = len(requests)
        while waiting:
            for message in self._receive():
                index = message.sequence - first
                if message.type != NLMSG_ERROR or not 0 <= index < len(requests):
                    continue
                waiting -= 1
                if message.error:
                    results[index] = refusal(message.error, requests[index].what, message.explanation)
        return results

    def ask(self, request: Request) -> Message:
        """Send one request that is answered by one message."""
        first = self._send([request])
        while True:
            for message in self._receive():
                if message.sequence != first:
                    continue
                if message.error:
                    raise refusal(message.error, request.what, message.explanation)
                return message

    def dump(self, request: Request, parse: Callable[[Message], T]) -> list[T]:
        """List things; tries again if they change meanwhile, for as long as a busy machine may take to pause."""
        for attempt in range(_DUMP_ATTEMPTS):
            try:
                return self._dump(request, parse)
            except DumpInterrupted:
                if attempt > _DUMP_ATTEMPTS // 4:
                    time.sleep(_DUMP_PAUSE)
        return self._dump(request, parse)

    def _dump(self, request: Request, parse: Callable[[Message], T]) -> list[T]:
        first = self._send([Request(request.type, request.flags | NLM_F_DUMP, request.body, request.what)])
        found: list[T] = []
        interrupted = False
        while True:
            for message in self._receive():
                if message.sequence != first:
                    continue
                if message.error:
                    raise refusal(message.error, request.what, message.explanation)
                interrupted = interrupted or bool(message.flags & NLM_F_DUMP_INTR)
                if message.type in (NLMSG_DONE, NLMSG_ERROR):
                    if interrupted:
                        raise DumpInterrupted(errno.EINTR, f"{request.what}: changed while listed")
                    return found
                found.append(parse(message))

    def transact(self, begin: Request, requests: Sequence[Request], end: Request) -> None:
        """Send an nfnetlink batch: the kernel does all of it or nothing.

        A batch is one datagram.  Only its last request asks for an acknowledgement: failures are reported anyway, and
        thousands of acknowledgements would overrun the receive buffer.
        """
        if not requests:
            return
        last = requests[-1]
        batch = [begin, *requests[:-1], Request(last.type, last.flags | NLM_F_ACK, last.body, last.what), end]
        sequence = self._sequence
        self._sequence += len(batch)
        data = encode(batch, sequence)
        self._make_room(len(data))
        self._socket.send(data)
        failure: NetlinkError | None = None
        done = False
        while not done:
            for message in self._receive():
                index = message.sequence - sequence
                if message.type != NLMSG_ERROR or not 0 <= index < len(batch):
                    continue
                done = done or index >= len(batch) - 2
                if message.error and failure is None:
                    what = batch[index].what or "nf_tables batch"
                    failure = refusal(message.error, what, message.explanation)
        if failure:
            raise failure

    def subscribe(self, group: int) -> None:
        """Receive notifications of a multicast group."""
        self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)

    def notifications(self) -> list[Message]:
        """What has been notified until now, without waiting.  Raises OSError(ENOBUFS) when some were lost."""
        found: list[Message] = []
        while True:
            try:
                data = self._socket.recv(_RECEIVE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return found
            found.extend(messages(data))

    def _make_room(self, size: int) -> None:
        if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= size * 2:
            return
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, size * 2)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size * 2)

    def _send(self, requests: Sequence[Request]) -> int:
        first = self._sequence
        self._sequence += len(requests)
        self._socket.send(encode(requests, first))
        return first

    def _receive(self) -> list[Message]:
        try:
            data = self._socket.recv(_RECEIVE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            poller = select.poll()  # not select(2): descriptors above 1023 are usual in a daemon
            poller.register(self._socket, select.POLLIN)
            if not poller.poll(_PATIENCE * 1000):
                raise refusal(errno.ETIMEDOUT, "netlink") from None
            data = self._socket.recv(_RECEIVE, socket.MSG_DONTWAIT)
        return list(messages(data))
