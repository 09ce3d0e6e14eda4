"""Connections that stop being HTTP: attach and exec take the socket over and splice it to a container's streams.

Owns: the 101 answer, half-closed connections in both directions, flow control, detach keys, the websocket form; and
that output arrives whole where a process does not read all that is sent to it (``yes | docker run -i busybox head``).
Knows nothing of containers: the engine hands in an ``Attachment``.

Docker's client half-closes its side of every attach without ``-i``; aiohttp would close the whole socket then, so the
transport is given another protocol at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import socket
from collections.abc import AsyncIterator, Callable
from typing import cast

from aiohttp import WSMsgType, web

from corten.api import framing
from corten.engine.attachment import Attachment
from corten.engine.detach import Scanner
from corten.errors import CortenError
from corten.server.inlet import Inlet

log = logging.getLogger(__name__)

RAW, MULTIPLEXED = "application/vnd.docker.raw-stream", "application/vnd.docker.multiplexed-stream"
# Epoll tells no reset on a side that has been read to its end; it is looked for this often.
_RESET_INTERVAL = 2.0
_HEADERS_FIRST = 0.01
_CHUNK = 65536
# A client that has been told the end closes at once; until then what it still sends is read and dropped, for a unix
# socket that is closed with unread bytes gives its other side an error instead of the end.
_LINGER = 5.0


class Hijacked(web.Response):
    """What a handler returns whose connection is no HTTP any more: nothing is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send nothing."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Send nothing."""

    @property
    def prepared(self) -> bool:
        """As if it had been sent: no header is to be added."""
        return True


class _End(asyncio.Protocol):
    """One end of a splice: what comes in goes out at the other."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._early: list[bytes] = []
        self._early_eof = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def join(self, other: _End) -> None:
        """Splice; what came before goes first."""
        self.other = other
        early, self._early = self._early, []
        for data in early:
            self.data_received(data)
        if self._early_eof:
            self.eof_received()

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        else:
            self.other.send(data)

    def eof_received(self) -> bool:
        """Pass the half-close on, and stay half open."""
        if self.other is None:
            self._early_eof = True
        else:
            self.other.send_eof()
        return True

    def send(self, data: bytes) -> None:
        """Write what came at the other end."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def send_eof(self) -> None:
        """Nothing more comes at the other end."""
        if self.transport is not None and self.transport.can_write_eof():
            with contextlib.suppress(OSError, RuntimeError):
                self.transport.write_eof()

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            with contextlib.suppress(RuntimeError):
                self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if not self.closed.done():
            self.closed.set_result(None)


class _ClientEnd(_End):
    """The client's side: typed bytes may hold the detach keys."""

    def __init__(self, scanner: Scanner | None) -> None:
        super().__init__()
        self._scanner = scanner
        self.is_detached = False
        self._had_eof = self._is_finished = False

    def data_received(self, data: bytes) -> None:
        if self._is_finished:
            return
        if self._scanner is not None and self.other is not None:
            data, self.is_detached = self._scanner.feed(data)
            if self.is_detached:
                if data:
                    super().data_received(data)
                self.finish()
                return
        super().data_received(data)

    def eof_received(self) -> bool:
        self._had_eof = True
        return not self._is_finished and super().eof_received()

    def finish(self) -> None:
        """Close after all has been sent, and after the client where it may be sending still."""
        transport = self.transport
        if self._is_finished or transport is None:
            return
        self._is_finished = True
        if self._had_eof or transport.is_closing() or not transport.can_write_eof():
            transport.close()
            return
        self.send_eof()
        with contextlib.suppress(RuntimeError):
            transport.resume_reading()
        asyncio.get_running_loop().call_later(_LINGER, transport.close)


class _ContainerEnd(_End):
    """The container's side: its end is the end."""

    def __init__(self, translate: Callable[[bytes], bytes] | None) -> None:
        super().__init__()
        self._translate = translate
        self._input: Inlet | None = None

    def send(self, data: bytes) -> None:
        if self._input is None and self.transport is not None and not self.transport.is_closing():
            self._input = Inlet(self.transport.get_extra_info("socket").dup(), self._throttle)
        if self._input is not None:
            self._input.write(data)

    def send_eof(self) -> None:
        if self._input is not None:
            self._input.end()
        else:
            super().send_eof()

    def _throttle(self, is_full: bool) -> None:
        (self.pause_writing if is_full else self.resume_writing)()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._input is not None:
            self._input.close()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(self._translate(data) if self._translate else data)

    def eof_received(self) -> bool:
        return False

    def close(self) -> None:
        """Nobody will ever listen."""
        if self.transport is not None:
            self.transport.abort()


async def hijack(request: web.Request, attachment: Attachment, *, multiplexed: bool) -> web.StreamResponse:
    """Take the connection over and splice it to the attachment until one side is done."""
    transport = request.transport
    if transport is None:
        if attachment.stream:
            attachment.stream.close()
        raise ConnectionResetError("the client went away")
    former = cast(asyncio.Protocol, transport.get_protocol())
    client = _ClientEnd(Scanner(attachment.detach_keys) if attachment.detach_keys else None)
    client.connection_made(transport)
    transport.set_protocol(client)
    early = getattr(former, "_message_tail", b"")
    if early:
        client.data_received(early)
    transport.write(_greeting(request, MULTIPLEXED if multiplexed and not attachment.is_shown_raw else RAW))
    try:
        await _history(client, attachment)
        if attachment.is_following:
            await _splice(client, attachment)
    finally:
        client.finish()
        await client.closed
        # aiohttp counts its connections by this call, and it ends the task that would read the next request.
        former.connection_lost(None)
    if client.is_detached:
        attachment.on_detach()
    return Hijacked()


def _greeting(request: web.Request, content_type: str) -> bytes:
    if "upgrade" in request.headers.get("Connection", "").lower() or "Upgrade" in request.headers:
        head = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
    else:
        head = "HTTP/1.1 200 OK\r\n"
    return f"{head}Content-Type: {content_type}\r\n\r\n".encode()


async def _history(client: _ClientEnd, attachment: Attachment) -> None:
    is_first = True
    async for data in attachment.history():
        if is_first:
            # docker-py reads the headers through a buffer and then goes round it: bytes that come with them are lost.
            await asyncio.sleep(_HEADERS_FIRST)
            is_first = False
        if client.transport is None:
            return
        client.transport.write(data)


async def _splice(client: _ClientEnd, attachment: Attachment) -> None:
    container = await _connect(client, attachment)
    if container is None:
        return
    container.join(client)
    client.join(container)
    watch = asyncio.ensure_future(_watch_reset(client))
    try:
        await asyncio.wait((container.closed, client.closed), return_when=asyncio.FIRST_COMPLETED)
    finally:
        watch.cancel()
        if container.transport is not None:
            container.transport.close()


async def _connect(client: _ClientEnd, attachment: Attachment) -> _ContainerEnd | None:
    """The container's side, once there is one; None if the client leaves first or it will never be."""
    connecting = asyncio.ensure_future(attachment.connect())
    watch = asyncio.ensure_future(_watch_reset(client))
    early = asyncio.ensure_future(_open(attachment.stream, attachment)) if attachment.stream else None
    stream = None
    try:
        await asyncio.wait((connecting, client.closed), return_when=asyncio.FIRST_COMPLETED)
        if connecting.done():
            stream = connecting.result()
    except CortenError as error:
        if client.transport is not None:
            text = f"{error.message}\r\n".encode()
            client.transport.write(text if attachment.is_shown_raw else framing.encode(framing.STDOUT, text))
    finally:
        connecting.cancel()
        watch.cancel()
        if early and stream is None:
            (await early).close()
    if stream is None:
        return None
    return await (early or _open(stream, attachment))


async def _open(stream: socket.socket, attachment: Attachment) -> _ContainerEnd:
    loop = asyncio.get_running_loop()
    _, end = await loop.create_connection(lambda: _ContainerEnd(translation(attachment)), sock=stream)
    return end


def translation(attachment: Attachment) -> Callable[[bytes], bytes] | None:
    """From what the container gives to what the client wants."""
    if attachment.is_raw == attachment.is_shown_raw:
        return None
    if attachment.is_raw:
        return lambda data: framing.encode(framing.STDOUT, data)
    decoder = framing.Decoder()
    return lambda data: b"".join(frame.data for frame in decoder.feed(data))


async def _watch_reset(client: _ClientEnd) -> None:
    """Close a connection that the client has left altogether, not only half-closed."""
    while (transport := client.transport) is not None:
        await asyncio.sleep(_RESET_INTERVAL)
        sock = transport.get_extra_info("socket")
        if sock is None:
            return
        poller = select.poll()
        try:
            poller.register(sock.fileno(), 0)
        except (OSError, ValueError):
            return
        if poller.poll(0):
            transport.abort()


async def websocket(request: web.Request, attachment: Attachment) -> web.StreamResponse:
    """The same over a websocket: binary messages, output unframed, as Docker's."""
    response = web.WebSocketResponse()
    await response.prepare(request)
    async for data in _unframed(attachment.history(), attachment.is_raw):
        await response.send_bytes(data)
    stream = await attachment.connect() if attachment.is_following else None
    if stream is not None:
        reader = asyncio.ensure_future(_to_websocket(stream, response, attachment.is_raw))
        writer = asyncio.ensure_future(_from_websocket(response, stream))
        try:
            await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            reader.cancel()
            writer.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
            stream.close()
    await response.close()
    return response


async def _unframed(pieces: AsyncIterator[bytes], is_raw: bool) -> AsyncIterator[bytes]:
    decoder = framing.Decoder()
    async for data in pieces:
        if is_raw:
            yield data
            continue
        for frame in decoder.feed(data):
            yield frame.data


async def _received(stream: socket.socket) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(stream, _CHUNK):
        yield data


async def _to_websocket(stream: socket.socket, response: web.WebSocketResponse, is_raw: bool) -> None:
    async for data in _unframed(_received(stream), is_raw):
        await response.send_bytes(data)


async def _from_websocket(response: web.WebSocketResponse, stream: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):  # the process may be done with its input: what it says still counts
        async for message in response:
            if message.type in (WSMsgType.BINARY, WSMsgType.TEXT):
                data = message.data if isinstance(message.data, bytes) else str(message.data).encode()
                await loop.sock_sendall(stream, data)
        stream.shutdown(socket.SHUT_WR)
    await asyncio.Event().wait()
