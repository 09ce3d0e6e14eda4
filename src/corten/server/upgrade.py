"""Connections that become another protocol's: the 101 answer, and the transport handed to an asyncio Protocol.

Read streams.py for attach and exec, which splice instead.
"""

from __future__ import annotations

import asyncio
from typing import cast

from aiohttp import web

from corten.errors import Invalid
from corten.server.streams import Hijacked


def require(request: web.Request, protocol: str) -> None:
    """Raises Invalid unless the client asks for ``protocol``; Docker's words."""
    asked = request.headers.get("Upgrade", "")
    if not asked:
        raise Invalid("no upgrade proto in request")
    if asked.lower() != protocol:
        raise Invalid(f"protocol {asked} not supported")


def switch(request: web.Request, protocol: str, successor: asyncio.Protocol) -> Handover:
    """Answer 101 and hand the transport over."""
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client went away")
    former = cast(asyncio.Protocol, transport.get_protocol())
    transport.write(f"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n".encode())
    transport.set_protocol(successor)
    successor.connection_made(transport)
    if early := bytes(getattr(former, "_message_tail", b"")):
        successor.data_received(early)
    return Handover(former)


class Handover:
    """What is left of the HTTP connection."""

    def __init__(self, former: asyncio.Protocol) -> None:
        self._former = former

    def finish(self) -> web.Response:
        """The connection is closed: let aiohttp know, which counts its connections."""
        self._former.connection_lost(None)
        return Hijacked()
