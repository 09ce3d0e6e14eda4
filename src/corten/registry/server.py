"""The listening side: an application on a socket, with bounds on clients that send nothing.

Owns: Listener.  aiohttp bounds idle connections; a client that dribbles its headers (slow loris) is bounded here: a
connection that has begun a request and not brought it within ``header_timeout`` is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from types import TracebackType

from aiohttp import web

_READ_BUFFER = 1 << 20
_KEEPALIVE_SHARE = 2.5  # idle connections live this many header timeouts: 75 seconds by default
_SHUTDOWN = 10.0
_LINGER = 2.0  # for the rest of a body that was refused: the client should see why


class Listener:
    """Serves while it is entered."""

    def __init__(
        self, app: web.Application, sock: socket.socket, context: ssl.SSLContext | None, header_timeout: float
    ) -> None:
        self._runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=_KEEPALIVE_SHARE * header_timeout,
            shutdown_timeout=_SHUTDOWN,
            lingering_time=_LINGER,
            read_bufsize=_READ_BUFFER,
            handle_signals=False,
        )
        self._sock = sock
        self._context = context
        self._header_timeout = header_timeout
        self._sweeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Listener:
        await self._runner.setup()
        await web.SockSite(self._runner, self._sock, ssl_context=self._context).start()
        self._sweeper = asyncio.create_task(self._sweep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        for connection in self._connections():
            if connection._current_request is None:  # it may still send what was refused: it has its answer
                connection.force_close()
        await self._runner.cleanup()

    async def _sweep(self) -> None:
        """Close connections whose request does not come."""
        first_seen: dict[int, float] = {}
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._header_timeout / 4)
            silent = [each for each in self._connections() if _is_silent(each)]
            now = loop.time()
            first_seen = {id(c): first_seen.get(id(c), now) for c in silent}
            for connection in silent:
                if now - first_seen[id(connection)] > self._header_timeout:
                    connection.force_close()

    def _connections(self) -> list[web.RequestHandler]:
        return [] if self._runner.server is None else self._runner.server.connections


def _is_silent(connection: web.RequestHandler) -> bool:
    """Whether it has sent something, and no whole request yet: aiohttp watches those that send nothing."""
    return connection._current_request is None and connection._keepalive_handle is None
