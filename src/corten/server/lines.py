"""Answers that grow while work goes on: JSON lines of pull, push, load, build, and tar streams of save.

Owns: when the status line is sent, how a failure is told before and after that, and what happens when the client
goes away.  Knows nothing of what the lines mean.

A job writes pieces into a ``Pipe``.  Until the first piece nothing has been sent, so a failure is still an ordinary
error answer with its own status.  After that a failure can only be one more line.  If the client hangs up the job is
cancelled, which is how ``docker build`` stopped with ^C kills the running step.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from corten.api import progress
from corten.errors import CortenError

# How often a silent job looks whether its client is still there.
HANGUP_INTERVAL = 0.2
# A job that writes faster than its client reads waits here.
PIPE_LIMIT = 4 << 20


class Pipe:
    """What a job writes and the connection takes away."""

    def __init__(self) -> None:
        self.has_begun = False
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def write(self, piece: bytes) -> None:
        """Add a piece; never waits, so that progress may be told from anywhere in the loop."""
        self.has_begun = True
        self._pieces.append(piece)
        self._held += len(piece)
        self._filled.set()
        if self._held > PIPE_LIMIT:
            self._room.clear()

    async def send(self, piece: bytes) -> None:
        """Add a piece and wait while the client is far behind: for bulk data."""
        self.write(piece)
        await self._room.wait()

    def take(self) -> bytes:
        """All pieces so far, as one."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._held = 0
        self._filled.clear()
        self._room.set()
        return data

    async def filled(self) -> None:
        """Return once there is a piece to take."""
        await self._filled.wait()


Job = Callable[[Pipe], Awaitable[None]]


async def answer(request: web.Request, job: Job, content_type: str = "application/json") -> web.StreamResponse:
    """Run ``job`` and send what it writes; cancel it when the client hangs up."""
    pipe = Pipe()
    response = web.StreamResponse(headers={"Content-Type": content_type})
    work = asyncio.ensure_future(job(pipe))
    try:
        while not work.done():
            await _next(pipe, work)
            if _hung_up(request):
                raise ConnectionResetError("the client went away")
            await _forward(request, response, pipe)
        work.result()
    except (ConnectionError, asyncio.CancelledError):
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError, CortenError, OSError):
            await work
        raise
    except (CortenError, OSError) as failure:
        if not pipe.has_begun or content_type != "application/json":
            # A tar stream has no place for a message: cutting it off is the only honest end.
            _cut(request, response)
            raise
        pipe.write(progress.error(failure.message if isinstance(failure, CortenError) else str(failure)))
    if not response.prepared:
        await response.prepare(request)
    await _forward(request, response, pipe)
    await response.write_eof()
    return response


async def _next(pipe: Pipe, work: asyncio.Future[None]) -> None:
    """Wait for a piece, the end of the job, or the next look at the client."""
    filled = asyncio.ensure_future(pipe.filled())
    try:
        await asyncio.wait({filled, work}, timeout=HANGUP_INTERVAL, return_when=asyncio.FIRST_COMPLETED)
    finally:
        filled.cancel()


def _hung_up(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


async def _forward(request: web.Request, response: web.StreamResponse, pipe: Pipe) -> None:
    data = pipe.take()
    if not data:
        return
    if not response.prepared:
        await response.prepare(request)
    await response.write(data)


def _cut(request: web.Request, response: web.StreamResponse) -> None:
    if response.prepared and request.transport is not None:
        request.transport.abort()


async def chunks(request: web.Request) -> AsyncIterator[bytes]:
    """The body of a request, piece by piece."""
    async for chunk in request.content.iter_any():
        yield chunk
