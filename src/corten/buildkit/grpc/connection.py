"""One HTTP/2 connection with gRPC on it, whichever side we are on; the h2 library knows the protocol.

An asyncio Protocol: whoever took a connection over gives its transport this for a protocol.  Owns streams, flow control
in both directions, and what happens when the other side goes.  Calls are in server.py and client.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from corten.buildkit.grpc.framing import Unpacker, pack
from corten.buildkit.grpc.status import UNAVAILABLE, RpcFailed

log = logging.getLogger(__name__)

Headers = list[tuple[str, str]]
WINDOW = 1 << 20
# A stream whose reader is this far behind gets no new window.
HIGH_WATER = 1 << 20
MAX_STREAMS = 200


class Stream:
    """A call in progress: messages in, messages out."""

    def __init__(self, connection: Connection, number: int, headers: Headers) -> None:
        self.headers = headers
        self.trailers: Headers = []
        self._connection = connection
        self._number = number
        self._unpacker = Unpacker()
        self._messages: deque[bytes] = deque()
        self._queued = 0
        self._unacknowledged = 0
        self._has_ended = False
        self._has_begun = False
        self._failure: RpcFailed | None = None
        self._changed = asyncio.Event()

    def header(self, name: str) -> str:
        """The first value, or ""."""
        return next((value for key, value in self.headers if key == name), "")

    async def receive(self) -> bytes | None:
        """The next message; None after the last.  Raises RpcFailed where the stream broke."""
        while not self._messages:
            if self._has_ended:
                return None
            if self._failure is not None:
                raise self._failure
            self._changed.clear()
            await self._changed.wait()
        message = self._messages.popleft()
        self._queued -= len(message)
        self._grant()
        return message

    async def receive_some(self) -> list[bytes]:
        """All messages that are here, at least one; none after the last."""
        first = await self.receive()
        if first is None:
            return []
        found = [first, *self._messages]
        self._messages.clear()
        self._queued = 0
        self._grant()
        return found

    async def send(self, *messages: bytes) -> None:
        """Send messages, no faster than the other side reads."""
        await self._connection.send(self._number, b"".join(map(pack, messages)), self)

    def send_headers(self, headers: Headers, *, end: bool = False) -> None:
        self._connection.send_headers(self._number, headers, end=end)

    def begin(self, headers: Headers) -> None:
        """Send the headers of an answer, once."""
        if not self._has_begun:
            self._has_begun = True
            self.send_headers(headers)

    def end(self) -> None:
        """Say that no more messages come from here."""
        self._connection.end(self._number)

    def reset(self) -> None:
        """Give the call up."""
        self._grant(least=1)
        self._connection.reset(self._number)

    @property
    def failure(self) -> RpcFailed | None:
        return self._failure

    # -- told by the connection ----------------------------------------------------------------------------------

    def data(self, data: bytes, flow_length: int) -> None:
        self._unacknowledged += flow_length
        try:
            for message in self._unpacker.feed(data):
                self._messages.append(message)
                self._queued += len(message)
        except RpcFailed as failure:
            self.fail(failure)
            self.reset()
            return
        self._grant()
        self._changed.set()

    def ended(self) -> None:
        self._grant(least=1)
        self._has_ended = True
        self._changed.set()

    def fail(self, failure: RpcFailed) -> None:
        self._failure = self._failure or failure
        self._changed.set()

    def _grant(self, least: int = WINDOW // 4) -> None:
        """Give window back, but not for every message; what a stream holds when it ends is given back to the
        connection."""
        if self._unacknowledged >= least and (self._queued < HIGH_WATER or least == 1):
            size, self._unacknowledged = self._unacknowledged, 0
            self._connection.acknowledge(self._number, size)


class Connection(asyncio.Protocol):
    """The connection.  As a server, ``accept`` is called with each stream that the other side opens, and ``cancel``
    with one that it gives up."""

    def __init__(
        self,
        *,
        is_client: bool,
        accept: Callable[[Stream], None] | None = None,
        cancel: Callable[[Stream], None] | None = None,
    ) -> None:
        self._accept, self._cancel = accept, cancel
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=is_client, header_encoding=None, validate_inbound_headers=False)
        )
        self._h2.local_settings = h2.settings.Settings(
            client=is_client,
            initial_values={
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 1 << 20,
            },
        )
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, Stream] = {}
        self._window = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # -- asyncio -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(16 * WINDOW)
        self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            log.info("an HTTP/2 connection is closed: %s", error)
            self._flush()
            self.close()
            return
        for event in events:
            self._event(event)
        self._flush()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._writable.set()
        for stream in list(self._streams.values()):
            self._drop(stream, "the connection was closed")
        self._streams.clear()
        self._window.set()
        if not self.closed.done():
            self.closed.set_result(None)

    # -- for streams and calls -----------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def open(self, headers: Headers) -> Stream:
        """Begin a call, as a client."""
        if not self.is_open:
            raise RpcFailed("the connection was closed", UNAVAILABLE)
        number = self._h2.get_next_available_stream_id()
        stream = Stream(self, number, [])
        self._streams[number] = stream
        self._h2.send_headers(number, headers)
        self._flush()
        return stream

    def close(self) -> None:
        """Close after what was written has been sent."""
        if self._transport is not None:
            self._transport.close()

    async def send(self, number: int, data: bytes, stream: Stream) -> None:
        rest = memoryview(data)
        while rest:
            await self._writable.wait()
            if stream.failure is not None:
                raise stream.failure
            if not self.is_open or number not in self._streams:
                raise RpcFailed("the call has ended", UNAVAILABLE)
            size = min(self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size, len(rest))
            if size <= 0:
                self._window.clear()
                await self._window.wait()
                continue
            self._h2.send_data(number, bytes(rest[:size]))
            rest = rest[size:]
            self._flush()

    def send_headers(self, number: int, headers: Headers, *, end: bool) -> None:
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._h2.send_headers(number, headers, end_stream=end)
        self._flush()

    def end(self, number: int) -> None:
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._h2.end_stream(number)
        self._flush()

    def reset(self, number: int) -> None:
        """Forget a stream; the other side is told unless it knows."""
        if self._streams.pop(number, None) is not None:
            with contextlib.suppress(h2.exceptions.ProtocolError):
                self._h2.reset_stream(number, error_code=8)
            self._flush()

    def acknowledge(self, number: int, size: int) -> None:
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._h2.acknowledge_received_data(size, number)
        self._flush()

    # -- events --------------------------------------------------------------------------------------------------

    def _event(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            stream = Stream(self, _number(event.stream_id), _decoded(event.headers))
            self._streams[_number(event.stream_id)] = stream
            if self._accept is not None:
                self._accept(stream)
            return
        if isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
            self._window.set()
            return
        if isinstance(event, h2.events.ConnectionTerminated):
            self.close()
            return
        stream_id = getattr(event, "stream_id", None)
        found = self._streams.get(stream_id) if stream_id else None
        if isinstance(event, h2.events.DataReceived):
            self._data(event, found)
        elif found is not None:
            self._stream_event(event, found)

    def _data(self, event: h2.events.DataReceived, stream: Stream | None) -> None:
        length = event.flow_controlled_length or 0
        if stream is None:
            self.acknowledge(_number(event.stream_id), length)
        else:
            stream.data(event.data or b"", length)

    def _stream_event(self, event: h2.events.Event, stream: Stream) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            stream.headers = _decoded(event.headers)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = _decoded(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended()
        elif isinstance(event, h2.events.StreamReset):
            self._streams.pop(_number(event.stream_id), None)
            self._drop(stream, "the call was cancelled")
            self._window.set()

    def _drop(self, stream: Stream, why: str) -> None:
        stream.fail(RpcFailed(why, UNAVAILABLE))
        if self._cancel is not None:
            self._cancel(stream)

    def forget(self, stream: Stream) -> None:
        """A call is over on both sides."""
        for number, each in list(self._streams.items()):
            if each is stream:
                del self._streams[number]

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


def _number(stream_id: int | None) -> int:
    assert stream_id is not None
    return stream_id


def _decoded(headers: Sequence[object] | None) -> Headers:
    found: Headers = []
    for entry in headers or ():
        name, value = cast(tuple[bytes, bytes], entry)
        found.append((bytes(name).decode("latin-1"), bytes(value).decode("utf-8", "replace")))
    return found
