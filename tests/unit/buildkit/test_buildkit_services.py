"""Control and gateway as buildx drives them, over a socket pair, with a workshop that makes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from corten.buildkit.board import LOG_LIMIT, Board
from corten.buildkit.grpc import client
from corten.buildkit.grpc.connection import Connection
from corten.buildkit.grpc.status import UNKNOWN, RpcFailed
from corten.buildkit.messages.control import (
    Exporter,
    InfoResponse,
    ListWorkersResponse,
    PruneRequest,
    SolveRequest,
    SolveResponse,
    StatusRequest,
    StatusResponse,
    UsageRecord,
)
from corten.buildkit.messages.gateway import (
    PongResponse,
    ReadFileRequest,
    ReadFileResponse,
    Ref,
    Result,
    ReturnRequest,
)
from corten.buildkit.messages.gateway import SolveRequest as BridgeRequest
from corten.buildkit.messages.gateway import SolveResponse as BridgeResponse
from corten.buildkit.messages.session import Empty, Stat
from corten.buildkit.messages.shared import CacheEntry, Definition, Op, Status, WorkerRecord
from corten.buildkit.service import BuildKit, Direct
from corten.buildkit.sessions import Sessions
from corten.buildkit.solves import definition_of, image_of
from corten.buildkit.wire import Message
from corten.buildkit.workshop import Built, Order
from corten.errors import Invalid, NotImplementedYet

Answer = TypeVar("Answer", bound=Message)
CONTROL, BRIDGE = "/moby.buildkit.v1.Control/", "/moby.buildkit.v1.frontend.LLBBridge/"


@dataclass
class Workshop:
    """Builds the image that an option names."""

    orders: list[Order] = field(default_factory=list)
    exported: list[tuple[str, list[Exporter]]] = field(default_factory=list)

    async def build(self, order: Order, board: Board, sessions: Sessions) -> Built:
        self.orders.append(order)
        with board.step("[1/1] FROM nothing") as step:
            if "fail" in order.options:
                raise Invalid("it failed", hint="Dockerfile:1")
            if "wait" in order.options:
                await asyncio.Event().wait()
            step.log("made\n")
        return Built(order.options.get("image", "sha256:1"), {"containerimage.config": b"{}"})

    async def export(
        self, built: Built, exporters: Sequence[Exporter], session: str, board: Board, sessions: Sessions
    ) -> dict[str, str]:
        self.exported.append((built.image_id, list(exporters)))
        return {"containerimage.digest": built.image_id}

    async def export_cache(
        self, built: Built, exports: Sequence[CacheEntry], session: str, board: Board, sessions: Sessions
    ) -> dict[str, str]:
        return {f"cache.{entry.type}": built.image_id for entry in exports}

    async def image_config(self, name: str, platform: str | None, board: Board) -> tuple[str, bytes]:
        raise NotImplementedYet("none")

    async def read(self, image_id: str, path: str, offset: int, length: int) -> bytes:
        return f"{image_id} {path} {offset} {length}".encode()

    async def stat(self, image_id: str, path: str) -> Stat:
        return Stat(path)

    async def list(self, image_id: str, path: str, pattern: str) -> list[Stat]:
        return []

    def worker(self) -> WorkerRecord:
        return WorkerRecord("w")

    def usage(self) -> Sequence[UsageRecord]:
        return []

    def prune(self, request: PruneRequest) -> Sequence[UsageRecord]:
        return []


class Client:
    """Calls as a client makes them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def call(self, path: str, request: Message, answer: type[Answer], build: str = "") -> Answer:
        metadata = [("buildkit-controlapi-buildid", build)] if build else []
        async with client.opened(self.connection, path, metadata) as stream:
            await stream.send(request.to_bytes())
            stream.end()
            data = await stream.receive()
            if data is None:
                client.check(stream)
            return answer.parse(data or b"")

    async def status(self, ref: str) -> StatusResponse:
        """Everything that is told, as one."""
        told = StatusResponse()
        async with client.opened(self.connection, CONTROL + "Status") as stream:
            await stream.send(StatusRequest(ref).to_bytes())
            stream.end()
            while (data := await stream.receive()) is not None:
                message = StatusResponse.parse(data)
                told.vertexes += message.vertexes
                told.logs += message.logs
            client.check(stream)
        return told


@contextlib.asynccontextmanager
async def served(workshop: Workshop) -> AsyncIterator[Client]:
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    server, connection = BuildKit(workshop).serving(), Connection(is_client=True)
    await loop.create_connection(lambda: server.connection, sock=ours)
    await loop.create_connection(lambda: connection, sock=theirs)
    try:
        yield Client(connection)
    finally:
        connection.close()
        await server.wait()


def with_client(test: Any) -> Any:
    """Run a coroutine with a workshop and a client."""

    def run() -> None:
        async def inside() -> None:
            workshop = Workshop()
            async with served(workshop) as each:
                await test(workshop, each)

        asyncio.run(inside())

    run.__name__ = test.__name__
    return run


@with_client
async def test_about_itself(workshop: Workshop, each: Client) -> None:
    info = await each.call(CONTROL + "Info", Empty(), InfoResponse)
    assert info.version is not None and info.version.package == "corten"
    assert [w.id for w in (await each.call(CONTROL + "ListWorkers", Empty(), ListWorkersResponse)).record] == ["w"]


@with_client
async def test_a_solve_driven_through_the_gateway(workshop: Workshop, each: Client) -> None:
    request = SolveRequest(ref="r", session="s", exporters=[Exporter("moby", {"name": "x"})], entitlements=["e"])
    solving = asyncio.ensure_future(each.call(CONTROL + "Solve", request, SolveResponse))
    watching = asyncio.ensure_future(each.status("r"))
    pong = await each.call(BRIDGE + "Ping", Empty(), PongResponse, "r")
    assert {"return", "frontend.inputs"} <= {cap.id for cap in pong.frontend_caps if cap.enabled}
    asked = BridgeRequest(frontend="dockerfile.v0", frontend_opt={"image": "sha256:7"})
    made = await each.call(BRIDGE + "Solve", asked, BridgeResponse, "r")
    assert made.result is not None and made.result.ref is not None
    ref = made.result.ref
    assert made.result.metadata == {"containerimage.config": b"{}"}
    assert ref.definition is not None and image_of(ref.definition) == "sha256:7"
    read = await each.call(BRIDGE + "ReadFile", ReadFileRequest(ref.id, "/etc/x"), ReadFileResponse, "r")
    assert read.data == b"sha256:7 /etc/x 0 0"
    await each.call(BRIDGE + "Return", ReturnRequest(Result(ref=Ref(ref.id))), Empty, "r")
    assert (await solving).exporter_response == {"containerimage.digest": "sha256:7"}
    told = await watching
    assert [vertex.name for vertex in told.vertexes] == ["[1/1] FROM nothing"] * 2
    assert told.vertexes[1].completed is not None and told.logs[0].msg == b"made\n"
    order = workshop.orders[0]
    assert (order.session, order.entitlements) == ("s", frozenset({"e"}))
    assert workshop.exported == [("sha256:7", [Exporter("moby", {"name": "x"})])]


@with_client
async def test_results_are_inputs_of_other_solves(workshop: Workshop, each: Client) -> None:
    request = SolveRequest(ref="r", frontend="dockerfile.v0", frontend_inputs={"base": definition_of("sha256:9")})
    await each.call(CONTROL + "Solve", request, SolveResponse)
    assert workshop.orders[0].inputs == {"base": "sha256:9"}


@with_client
async def test_nothing_returned_is_no_failure(workshop: Workshop, each: Client) -> None:
    """buildx asks for the capabilities with a solve of its own."""
    solving = asyncio.ensure_future(each.call(CONTROL + "Solve", SolveRequest(ref="r"), SolveResponse))
    await each.call(BRIDGE + "Return", ReturnRequest(Result()), Empty, "r")
    assert (await solving).exporter_response == {}


@with_client
async def test_failures(workshop: Workshop, each: Client) -> None:
    with pytest.raises(RpcFailed, match="it failed\nDockerfile:1") as caught:
        request = SolveRequest(ref="a", frontend="dockerfile.v0", frontend_attrs={"fail": ""})
        await each.call(CONTROL + "Solve", request, SolveResponse)
    assert caught.value.code == UNKNOWN
    solving = asyncio.ensure_future(each.call(CONTROL + "Solve", SolveRequest(ref="b"), SolveResponse))
    await each.call(BRIDGE + "Return", ReturnRequest(error=Status(2, "client's")), Empty, "b")
    with pytest.raises(RpcFailed, match="client's"):
        await solving
    with pytest.raises(RpcFailed, match="LLB definitions are not executed"):
        other = Definition([Op(execution=b"x").to_bytes()])
        await each.call(CONTROL + "Solve", SolveRequest(ref="c", definition=other), SolveResponse)
    for path in ("NewContainer", "ResolveSourceMeta"):
        with pytest.raises(RpcFailed, match="is not served by this engine"):
            await each.call(BRIDGE + path, Empty(), Empty, "c")


@with_client
async def test_what_an_exporter_does_not_do_is_refused_before_the_build(workshop: Workshop, each: Client) -> None:
    def solve(ref: str, attrs: dict[str, str]) -> Any:
        asked = SolveRequest(ref=ref, frontend="dockerfile.v0", exporters=[Exporter("image", attrs)])
        return each.call(CONTROL + "Solve", asked, SolveResponse)

    for attrs in ({"push-by-digest": "true"}, {"annotation-index.a": "b"}, {"compression": "zstd"}):
        with pytest.raises(RpcFailed, match=f"{next(iter(attrs))}=.* of the exporter 'image' is not supported"):
            await solve("a", attrs)
    assert not workshop.orders
    await solve("b", {"push-by-digest": "false", "compression": "gzip", "name": "x", "unpack": "true"})
    assert len(workshop.orders) == 1


@with_client
async def test_a_cancelled_solve_ends_its_board(workshop: Workshop, each: Client) -> None:
    request = SolveRequest(ref="r", frontend="dockerfile.v0", frontend_attrs={"wait": ""})
    solving = asyncio.ensure_future(each.call(CONTROL + "Solve", request, SolveResponse))
    watching = asyncio.ensure_future(each.status("r"))
    await asyncio.sleep(0.05)
    solving.cancel()
    told = await watching
    assert told.vertexes[-1].error == "context canceled"


def test_a_solve_in_one_request() -> None:
    async def run() -> None:
        workshop, told = Workshop(), []
        wanted = Direct({"image": "sha256:3"}, "s", [("moby", {"name": "x"})])
        assert await BuildKit(workshop).run(wanted, told.append) == "sha256:3"
        names = {vertex.name for message in told for vertex in StatusResponse.parse(message).vertexes}
        assert names == {"[1/1] FROM nothing"}
        failing: Mapping[str, str] = {"fail": ""}
        with pytest.raises(RpcFailed, match="it failed"):
            await BuildKit(workshop).run(Direct(failing, "s", []), told.append)

    asyncio.run(run())


def test_logs_are_clipped() -> None:
    async def run() -> int:
        board = Board()
        shown = board.begin("x")
        for _ in range(LOG_LIMIT // 1000 * 2):
            shown.log("y" * 1000)
        board.close()
        return sum(len(log.msg) for message in [m async for m in board.watch()] for log in message.logs)

    assert LOG_LIMIT <= asyncio.run(run()) < LOG_LIMIT + 5000


def test_sessions() -> None:
    async def run() -> None:
        sessions = Sessions()
        ours, theirs = socket.socketpair()
        connection = Connection(is_client=True)
        await asyncio.get_running_loop().create_connection(lambda: connection, sock=ours)
        waiting = asyncio.ensure_future(sessions.get("prefix:id"))
        serving = asyncio.ensure_future(sessions.serve("id", "key", ["/A/B"], connection))
        session = await waiting
        assert session.supports("/a/b") and not session.supports("/a/c")
        assert await session.credentials("docker.io") == ("", "") and await session.secret("x") is None
        assert not await session.has_agent("default")
        theirs.close()
        await serving
        with pytest.raises(Invalid, match="no session id"):
            sessions.expect("")

    asyncio.run(run())
