"""The bytes of a pipe become the body of an answer.

Owns: the way there.  On a plain socket they are moved by the kernel and never seen here (splice(2)); under TLS they are
read and written.  How many come is known before: a client that gets fewer knows that it was cut off.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from aiohttp import web

PIECE = 1 << 20


async def answer(request: web.Request, fd: int, size: int, content_type: str) -> web.StreamResponse:
    """Send ``size`` bytes out of the pipe ``fd``; hang up if there are fewer."""
    response = web.StreamResponse(headers={"Content-Type": content_type, "Content-Length": str(size)})
    await response.prepare(request)
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client went away")
    # The head of the answer must have gone before anything that passes the transport by.
    if transport.get_extra_info("sslcontext") is None and not transport.get_write_buffer_size():
        left = await _splice(fd, transport, size)
    else:
        left = await _copy(fd, response, size)
    if left:
        transport.abort()
        return response
    await response.write_eof()
    return response


async def _splice(fd: int, transport: asyncio.Transport, size: int) -> int:
    """How many bytes did not come."""
    loop = asyncio.get_running_loop()
    # The loop watches the transport's own descriptor for itself.
    sock = os.dup(transport.get_extra_info("socket").fileno())
    try:
        while size:
            await _ready(fd, loop.add_reader, loop.remove_reader)
            try:
                moved = os.splice(fd, sock, min(size, PIECE), flags=os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE)
            except BlockingIOError:
                await _ready(sock, loop.add_writer, loop.remove_writer)
                continue
            if not moved:
                break
            size -= moved
    finally:
        os.close(sock)
    return size


async def _copy(fd: int, response: web.StreamResponse, size: int) -> int:
    loop = asyncio.get_running_loop()
    while size:
        await _ready(fd, loop.add_reader, loop.remove_reader)
        data = os.read(fd, min(size, PIECE))
        if not data:
            break
        await response.write(data)
        size -= len(data)
    return size


async def _ready(fd: int, add: Callable[..., None], remove: Callable[[int], object]) -> None:
    """Return once ``fd`` can be read or written."""
    ready = asyncio.get_running_loop().create_future()
    add(fd, _tell, ready)
    try:
        await ready
    finally:
        remove(fd)


def _tell(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
