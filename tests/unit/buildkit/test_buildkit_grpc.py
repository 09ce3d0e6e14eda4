"""gRPC over a socket pair: both sides are ours; the bytes between are HTTP/2."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.buildkit.grpc import client
from corten.buildkit.grpc.connection import HIGH_WATER, Connection
from corten.buildkit.grpc.framing import Unpacker, pack
from corten.buildkit.grpc.server import Call, Method, Server
from corten.buildkit.grpc.status import NOT_FOUND, RESOURCE_EXHAUSTED, UNAVAILABLE, UNIMPLEMENTED, RpcFailed
from corten.buildkit.messages.session import Bytes, SecretRequest, SecretResponse
from corten.errors import NotFound


@contextlib.asynccontextmanager
async def linked(methods: dict[str, Method]) -> AsyncIterator[tuple[Connection, Server]]:
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    server, connection = Server(methods), Connection(is_client=True)
    await loop.create_connection(lambda: server.connection, sock=ours)
    await loop.create_connection(lambda: connection, sock=theirs)
    try:
        yield connection, server
    finally:
        connection.close()
        await server.wait()


async def double(request: SecretRequest, call: Call) -> SecretResponse:
    return SecretResponse(request.id.encode() * 2)


async def fail(request: SecretRequest, call: Call) -> SecretResponse:
    raise NotFound("no such ü\nthing 100%")


def test_unary_and_errors() -> None:
    async def run() -> None:
        async with linked({"/s/Double": Method(SecretRequest, double), "/s/Fail": Method(SecretRequest, fail)}) as (
            c,
            _,
        ):
            many = [client.unary(c, "/s/Double", SecretRequest(str(n)), SecretResponse) for n in range(50)]
            assert [answer.data for answer in await asyncio.gather(*many)] == [str(n).encode() * 2 for n in range(50)]
            big = "x" * 3_000_000
            assert len((await client.unary(c, "/s/Double", SecretRequest(big), SecretResponse)).data) == 6_000_000
            with pytest.raises(RpcFailed, match="no such ü\nthing 100%") as caught:
                await client.unary(c, "/s/Fail", SecretRequest(), SecretResponse)
            assert caught.value.code == NOT_FOUND
            with pytest.raises(RpcFailed) as caught:
                await client.unary(c, "/s/Nothing", SecretRequest(), SecretResponse)
            assert caught.value.code == UNIMPLEMENTED

    asyncio.run(run())


def test_a_stream_waits_for_its_reader() -> None:
    sent = 0

    async def flood(request: SecretRequest, call: Call) -> AsyncIterator[Bytes]:
        nonlocal sent
        for _ in range(400):
            sent += 1
            yield Bytes(bytes(100_000))

    async def run() -> None:
        async with linked({"/s/Flood": Method(SecretRequest, stream=flood)}) as (c, _):
            async with client.opened(c, "/s/Flood") as stream:
                await stream.send(SecretRequest().to_bytes())
                stream.end()
                await stream.receive()
                for _ in range(200):
                    await asyncio.sleep(0)
                assert sent * 100_000 < 10 * HIGH_WATER
                received = 1
                while await stream.receive() is not None:
                    received += 1
                client.check(stream)
            assert received == sent == 400

    asyncio.run(run())


def test_a_cancelled_call_is_cancelled_at_the_server() -> None:
    ended = asyncio.Event()

    async def forever(request: SecretRequest, call: Call) -> SecretResponse:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return SecretResponse()

    async def run() -> None:
        async with linked({"/s/Forever": Method(SecretRequest, forever)}) as (c, _):
            call = asyncio.ensure_future(client.unary(c, "/s/Forever", SecretRequest(), SecretResponse))
            await asyncio.sleep(0.05)
            call.cancel()
            await asyncio.wait_for(ended.wait(), 5)

    asyncio.run(run())


def test_a_lost_connection_ends_calls_on_both_sides() -> None:
    async def forever(request: SecretRequest, call: Call) -> SecretResponse:
        await asyncio.Event().wait()
        return SecretResponse()

    async def run() -> None:
        async with linked({"/s/Forever": Method(SecretRequest, forever)}) as (c, server):
            call = asyncio.ensure_future(client.unary(c, "/s/Forever", SecretRequest(), SecretResponse))
            await asyncio.sleep(0.05)
            server.connection.close()
            with pytest.raises(RpcFailed) as caught:
                await call
            assert caught.value.code == UNAVAILABLE
            with pytest.raises(RpcFailed):
                await client.unary(c, "/s/Forever", SecretRequest(), SecretResponse)

    asyncio.run(run())


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 200, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\1\0\0\0\0\0\0x"]
)
def test_what_is_no_http2_closes_the_connection(data: bytes) -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        server = Server({})
        await asyncio.get_running_loop().create_connection(lambda: server.connection, sock=ours)
        theirs.sendall(data)
        await asyncio.wait_for(server.wait(), 5)
        theirs.close()

    asyncio.run(run())


@given(st.lists(st.binary(max_size=50), max_size=8), st.integers(1, 20))
def test_frames_by_pieces(messages: list[bytes], step: int) -> None:
    data = b"".join(map(pack, messages))
    unpacker = Unpacker()
    found = [message for at in range(0, len(data), step) for message in unpacker.feed(data[at : at + step])]
    assert found == messages and unpacker.is_between


def test_frames_that_are_refused() -> None:
    with pytest.raises(RpcFailed) as caught:
        Unpacker().feed(b"\x01\0\0\0\x01x")
    assert caught.value.code == UNIMPLEMENTED
    with pytest.raises(RpcFailed) as caught:
        Unpacker(limit=10).feed(b"\0\0\0\0\x0b")
    assert caught.value.code == RESOURCE_EXHAUSTED
