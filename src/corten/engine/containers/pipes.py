"""Bytes between a thread that works on files and the event loop, a bounded amount at a time."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Callable

_CHUNK = 1 << 20
_DEPTH = 4


class Abandoned(Exception):
    """Nobody reads any more."""


class BytePipe:
    """A thread writes, the loop reads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(_DEPTH)
        self._pieces: list[bytes] = []
        self._held = 0
        self._is_abandoned = False
        self.position = 0

    def write(self, data: bytes) -> int:
        """Called in the thread; waits while the reader is behind."""
        self._pieces.append(data)
        self._held += len(data)
        self.position += len(data)
        if self._held >= _CHUNK:
            self._flush()
        return len(data)

    def _flush(self) -> None:
        data, self._pieces, self._held = b"".join(self._pieces), [], 0
        if data:
            self._put(data)

    def _put(self, data: bytes) -> None:
        if self._is_abandoned:
            raise Abandoned
        asyncio.run_coroutine_threadsafe(self._queue.put(data), self._loop).result()

    def run(self, work: Callable[[BytePipe], None]) -> None:
        """Called in the thread: the work, then the end of the stream whatever happened."""
        try:
            work(self)
            self._flush()
        except Abandoned:
            return
        finally:
            if not self._is_abandoned:
                self._put(b"")

    def abandon(self) -> None:
        """The reader goes; the thread is set free."""
        self._is_abandoned = True
        while not self._queue.empty():
            self._queue.get_nowait()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self._queue.get():
            yield data


class ByteSource:
    """The loop writes, a thread reads, as from a file."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._queue: queue.Queue[bytes] = queue.Queue()
        self._room = asyncio.Semaphore(_DEPTH)
        self._loop = loop
        self._rest = b""
        self._at_end = False

    async def feed(self, body: AsyncIterator[bytes]) -> None:
        """Pass the pieces on, no more than the thread can take."""
        try:
            async for data in body:
                for start in range(0, len(data), _CHUNK):
                    await self._room.acquire()
                    self._queue.put(data[start : start + _CHUNK])
        finally:
            self._queue.put(b"")

    def abandon(self) -> None:
        """Let a waiting thread end."""
        self._queue.put(b"")

    def read(self, size: int) -> bytes:
        """Called in the thread: ``size`` bytes, fewer at the end only."""
        while len(self._rest) < size and not self._at_end:
            data = self._queue.get()
            if not data:
                self._at_end = True
                break
            self._loop.call_soon_threadsafe(self._room.release)
            self._rest = self._rest + data if self._rest else data
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken
