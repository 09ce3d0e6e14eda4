"""One connection to a shim: requests with answers, and events, over asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Callable, Sequence
from typing import Any

from corten.errors import Conflict, Internal, Unavailable
from corten.kernel import wire
from corten.runtime.protocol import StepFailure

_DEADLINE = 60.0


class Channel:
    """Owns the socket.  ``on_event`` gets every message that answers nothing; ``on_close`` is called once."""

    def __init__(
        self, sock: socket.socket, on_event: Callable[[wire.Message], None], on_close: Callable[[], None]
    ) -> None:
        self._sock = sock
        self._on_event = on_event
        self._on_close = on_close
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[wire.Message]] = {}
        self._closed = False
        self._loop = asyncio.get_running_loop()
        sock.setblocking(False)
        self._loop.add_reader(sock, self._readable)

    @property
    def is_closed(self) -> bool:
        """Whether the shim is gone, or we have let go of it."""
        return self._closed

    def tell(self, op: str, **body: Any) -> None:
        """A request that is never answered, and may get lost."""
        if not self._closed:
            with contextlib.suppress(OSError):
                wire.send(self._sock, {"op": op, **body})

    def expect(self) -> int:
        """The number of a request that goes another way; ``answer`` is its answer."""
        number = next(self._numbers)
        self._waiting[number] = self._loop.create_future()
        return number

    async def request(self, op: str, fds: Sequence[int] = (), **body: Any) -> wire.Message:
        """The answer; the caller closes it.  A StepFailure of the shim is raised as it is."""
        if self._closed:
            raise StepFailure(op, 3, "the container is not running")
        number = self.expect()
        try:
            await self._send({"id": number, "op": op, **body}, fds)
        except BaseException as failure:
            self._waiting.pop(number, None)
            if isinstance(failure, OSError):
                raise StepFailure(op, failure.errno or 3, "the container is not running") from None
            raise
        return await self.answer(number, op)

    async def answer(self, number: int, op: str) -> wire.Message:
        """The answer to a request that is on its way."""
        try:
            async with asyncio.timeout(_DEADLINE):
                message = await self._waiting[number]
        except TimeoutError:
            raise Unavailable(f"the container's shim does not answer ({op})") from None
        finally:
            self._waiting.pop(number, None)
        if "error" in message.body:
            message.close()
            raise StepFailure.parse(message.body["error"])
        return message

    async def _send(self, body: dict[str, Any], fds: Sequence[int]) -> None:
        while True:
            try:
                wire.send(self._sock, body, fds)
                return
            except BlockingIOError:
                await asyncio.sleep(0.005)

    def _readable(self) -> None:
        while not self._closed:
            try:
                message = wire.receive(self._sock)
            except BlockingIOError:
                return
            except (OSError, ValueError):
                message = None
            if message is None:
                self.close()
                return
            future = self._waiting.get(int(message.body.get("id") or 0))
            if future is None:
                self._on_event(message)
                message.close()
            elif future.done():
                message.close()
            else:
                future.set_result(message)

    def close(self) -> None:
        """The other end is gone; whoever waits for an answer is told."""
        if not self._closed:
            self.let_go()
            self._on_close()

    def let_go(self) -> None:
        """Close our end, which is no news to anybody."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._sock)
        self._sock.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(StepFailure("request", 3, "the container is not running"))


def translate(failure: StepFailure) -> Internal | Conflict:
    """For operations on a running container: an ended process is a conflict, the rest is ours."""
    if failure.errno in (3, 16, 17, 25):
        return Conflict(failure.message)
    return Internal(failure.message)
