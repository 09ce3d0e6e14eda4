"""A connection inside a call: bytes in messages, as a transport for an asyncio Protocol.

Clients that share a session among builds open it through the Control service instead of an upgraded connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from corten.buildkit.grpc.connection import Stream
from corten.buildkit.messages.session import Bytes
from corten.errors import CortenError

_HIGH, _CHUNK = 1 << 20, 1 << 20


class Tunnel(asyncio.Transport):
    """The transport; ``run`` carries bytes both ways until one side is done."""

    def __init__(self, stream: Stream, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._stream = stream
        self._protocol = protocol
        self._waiting = bytearray()
        self._wake = asyncio.Event()
        self._is_paused = False
        self._is_closing = False

    async def run(self) -> None:
        self._protocol.connection_made(self)
        sending = asyncio.ensure_future(self._send())
        receiving = asyncio.ensure_future(self._receive())
        try:
            await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, receiving):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, CortenError):
                    await task
            self._is_closing = True
            self._protocol.connection_lost(None)

    async def _send(self) -> None:
        while self._waiting or not self._is_closing:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            data = bytes(self._waiting[:_CHUNK])
            del self._waiting[: len(data)]
            await self._stream.send(Bytes(data).to_bytes())
            if self._is_paused and len(self._waiting) < _HIGH:
                self._is_paused = False
                self._protocol.resume_writing()

    async def _receive(self) -> None:
        while (message := await self._stream.receive()) is not None:
            self._protocol.data_received(Bytes.parse(message).data)

    # -- asyncio.Transport ---------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self._waiting += data
        self._wake.set()
        if not self._is_paused and len(self._waiting) >= _HIGH:
            self._is_paused = True
            self._protocol.pause_writing()

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True
        self._wake.set()
