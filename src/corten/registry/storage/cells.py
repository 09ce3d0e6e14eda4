"""Small values in a bucket that change only as one: a value is replaced by whoever saw it last.

Owns: Cell (compare and swap, with a holder whose hold lapses), and Gate (a lock for many processes on many hosts,
shared or exclusive).  A holder that is killed is waited for as long as a lease lasts, and no longer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from corten.errors import Conflict, Unavailable
from corten.registry.storage.bucket import Bucket

_PAUSE_MIN, _PAUSE_MAX = 0.02, 0.5
_YOUNG = 1.0  # seconds during which others of our process join


class Cell:
    """One value, held by us."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        self._bucket = bucket
        self._key = key
        self._etag: str | None = None
        self.value: Any = None
        self.renewed = 0.0  # by time.monotonic()

    async def take(self, lease: float, *, create: bool = False) -> bool | None:
        """Hold it, if nobody does or their lease has lapsed.  None where there is no such cell."""
        found = await self._bucket.get(self._key)
        if found is None:
            return await self._swap(None, held=True) if create else None
        body = json.loads(found.data)
        if body["holder"] and time.time() - found.modified < lease:
            return False
        self._etag, self.value = found.etag, body["value"]
        return await self._swap(self.value, held=True)

    async def make(self, value: Any) -> None:
        """A new cell, held."""
        if not await self._swap(value, held=True):
            raise Conflict(f"{self._key} is there already")

    async def save(self, value: Any, *, held: bool = True) -> None:
        """Put another value and, if ``held``, go on holding it.  Conflict when somebody took it from us."""
        if not await self._swap(value, held=held):
            raise Conflict("another request has taken over")

    async def _swap(self, value: Any, *, held: bool) -> bool:
        began = time.monotonic()
        # Never the same bytes twice: a tag must stand for one write.
        body = {"holder": secrets.token_hex(8) if held else "", "turn": secrets.token_hex(8), "value": value}
        etag = await self._bucket.put_if(self._key, json.dumps(body).encode(), self._etag)
        if etag is None:
            return False
        self._etag, self.value, self.renewed = etag, value, began
        return True


class Gate:
    """Many may be in for making references, or one for removing what nobody references.

    One who wants in for references puts up a marker first and looks for an exclusive holder then; one who wants in
    alone takes the cell first and looks for markers then.  The store is consistent, so one of the two sees the other.
    """

    def __init__(self, bucket: Bucket, lease: float) -> None:
        self._bucket = bucket
        self._lease = lease
        self._marker = f"locks/shared/{secrets.token_hex(16)}"
        self._inside = 0
        self._since = 0.0
        self._turn = asyncio.Lock()
        self._keeper: AsyncExitStack
        self._cell: Cell | None = None

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """One marker stands for all of this process; newcomers join while it is young, so that others get in, too."""
        await self._join()
        try:
            yield
        finally:
            async with self._turn:
                self._inside -= 1
                if self._inside == 0:
                    await self._keeper.aclose()
                    with contextlib.suppress(Unavailable):  # then it lapses
                        await self._bucket.delete(self._marker)

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Alone, in all processes."""
        cell = Cell(self._bucket, "locks/exclusive")
        for pause in _pauses():
            if await cell.take(self._lease, create=True):
                break
            await asyncio.sleep(pause)
        try:
            async with self._kept(lambda: cell.save(None)):
                await self._await_markers()
                self._cell = cell
                yield
        finally:
            self._cell = None
            with contextlib.suppress(Conflict):  # it took too long: guard() has stopped the rest
                await cell.save(None, held=False)

    def guard(self) -> None:
        """Before something is removed: one whose lease may have lapsed must not go on."""
        if self._cell is not None and time.monotonic() - self._cell.renewed > self._lease * 0.8:
            raise Unavailable("the lock on the store was lost: object storage was too slow")

    async def _join(self) -> None:
        pauses = _pauses()
        while True:
            async with self._turn:
                if self._inside and time.monotonic() - self._since < _YOUNG:
                    self._inside += 1
                    return
                if not self._inside and await self._enter():
                    return
            await asyncio.sleep(next(pauses))

    async def _enter(self) -> bool:
        await self._bucket.put(self._marker, b"{}")
        try:
            found = await self._bucket.get("locks/exclusive")
        except BaseException:
            await self._bucket.delete(self._marker)
            raise
        if found is not None and json.loads(found.data)["holder"] and time.time() - found.modified < self._lease:
            await self._bucket.delete(self._marker)
            return False
        self._inside, self._since = 1, time.monotonic()
        self._keeper = AsyncExitStack()
        await self._keeper.enter_async_context(self._kept(lambda: self._bucket.put(self._marker, b"{}")))
        return True

    async def _await_markers(self) -> None:
        pauses = _pauses()
        while True:
            markers = await self._bucket.listing("locks/shared/")
            lapsed = [key for key, modified in markers if time.time() - modified > self._lease]
            if lapsed:
                await self._bucket.delete(*lapsed)
            if len(lapsed) == len(markers):
                return
            await asyncio.sleep(next(pauses))

    @asynccontextmanager
    async def _kept(self, renew: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Renew a lease for a while.  A renewal is never cancelled half-way: we would not know whether it was done."""
        done = asyncio.Event()

        async def keep() -> None:
            while not done.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(done.wait(), self._lease / 3)
                    return
                with contextlib.suppress(Unavailable, Conflict):  # guard() sees to it
                    await renew()

        task = asyncio.create_task(keep())
        try:
            yield
        finally:
            done.set()
            await asyncio.wait([task])


def _pauses() -> Iterator[float]:
    pause = _PAUSE_MIN
    while True:
        yield pause
        pause = min(pause * 1.5, _PAUSE_MAX)
