"""Calling gRPC methods over a connection that the other side serves."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from corten.buildkit.grpc.connection import Connection, Stream
from corten.buildkit.grpc.status import INTERNAL, UNKNOWN, RpcFailed, unpack_message
from corten.buildkit.wire import Message

Answer = TypeVar("Answer", bound=Message)
Metadata = Sequence[tuple[str, str]]


async def unary(connection: Connection, path: str, request: Message, answer: type[Answer]) -> Answer:
    """One request, one answer.  Raises RpcFailed with the other side's words."""
    async with opened(connection, path) as stream:
        await stream.send(request.to_bytes())
        stream.end()
        data = await stream.receive()
        if data is None:
            check(stream)
            raise RpcFailed(f"{path} gave no answer", INTERNAL)
        return answer.parse(data)


@contextlib.asynccontextmanager
async def opened(connection: Connection, path: str, metadata: Metadata = ()) -> AsyncIterator[Stream]:
    """A call that goes on for as long as the block; left early it is given up."""
    stream = connection.open(
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("user-agent", "corten"),
            *metadata,
        ]
    )
    try:
        yield stream
    finally:
        stream.reset()


def check(stream: Stream) -> None:
    """Raise what the end of a call says, unless it says that all is well."""
    found = dict(stream.headers) | dict(stream.trailers)
    code = found.get("grpc-status", str(UNKNOWN) if found.get(":status", "200") == "200" else str(INTERNAL))
    if code != "0":
        raise RpcFailed(unpack_message(found.get("grpc-message", "")) or "the call failed", int(code))
