"""Serving gRPC: methods by their path, each a coroutine from a message to a message, or an iterator of messages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from corten.buildkit.grpc.connection import Connection, Headers, Stream
from corten.buildkit.grpc.status import INTERNAL, OK, UNIMPLEMENTED, RpcFailed, code_of, pack_message
from corten.buildkit.wire import Message
from corten.errors import CortenError

log = logging.getLogger(__name__)

BINARY = "-bin"


@dataclass(frozen=True, slots=True)
class Call:
    """What came with a request."""

    path: str
    metadata: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str:
        """The first value, or ""."""
        return next((value for key, value in self.metadata if key == name), "")

    def all(self, name: str) -> list[str]:
        """Every value."""
        return [value for key, value in self.metadata if key == name]


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a service: the class of its request, and one of three ways to answer: with a message, with several,
    or (``both``) by receiving and sending as it likes."""

    request: type[Message]
    unary: Callable[[Any, Call], Awaitable[Message]] | None = None
    stream: Callable[[Any, Call], AsyncIterator[Message]] | None = None
    both: Callable[[Stream, Call], Awaitable[None]] | None = None


class Server:
    """Answers the calls of one connection."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = methods
        self._tasks: dict[Stream, asyncio.Task[None]] = {}
        self.connection = Connection(is_client=False, accept=self._accept, cancel=self._cancel)

    def _accept(self, stream: Stream) -> None:
        self._tasks[stream] = asyncio.ensure_future(self._serve(stream))

    def _cancel(self, stream: Stream) -> None:
        if task := self._tasks.get(stream):
            task.cancel()

    async def wait(self) -> None:
        """Until the connection is closed and its calls have ended."""
        await self.connection.closed
        if tasks := list(self._tasks.values()):
            await asyncio.wait(tasks)

    async def _serve(self, stream: Stream) -> None:
        try:
            async for answer in self._answers(stream):
                stream.begin(_HEADERS)
                await stream.send(answer.to_bytes())
            trailers = _trailers(OK, "")
        except CortenError as failure:
            trailers = _trailers(code_of(failure), str(failure))
        except asyncio.CancelledError:
            return
        except Exception:
            log.exception("serving %s", stream.header(":path"))
            trailers = _trailers(INTERNAL, "internal error: see the daemon's log")
        finally:
            self._tasks.pop(stream, None)
        stream.begin(_HEADERS)
        stream.send_headers(trailers, end=True)
        self.connection.forget(stream)

    async def _answers(self, stream: Stream) -> AsyncIterator[Message]:
        path = stream.header(":path")
        method = self._methods.get(path)
        if method is None:
            raise RpcFailed(f"{path} is not served by this engine", UNIMPLEMENTED)
        call = Call(path, tuple((name, value) for name, value in stream.headers if not name.startswith(":")))
        if method.both is not None:
            stream.begin(_HEADERS)
            await method.both(stream, call)
            return
        data = await stream.receive()
        request = method.request.parse(data or b"")
        if method.unary is not None:
            yield await method.unary(request, call)
        elif method.stream is not None:
            async for answer in method.stream(request, call):
                yield answer


_HEADERS: Headers = [(":status", "200"), ("content-type", "application/grpc")]


def _trailers(code: int, message: str) -> Headers:
    trailers = [("grpc-status", str(code))]
    if message:
        trailers.append(("grpc-message", pack_message(message)))
    return trailers
