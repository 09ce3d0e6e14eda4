"""The Control service: solves, their progress, workers, the cache."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

from corten import __version__
from corten.buildkit.grpc.connection import Connection, Stream
from corten.buildkit.grpc.server import Call, Method
from corten.buildkit.grpc.status import UNKNOWN, RpcFailed
from corten.buildkit.grpc.tunnel import Tunnel
from corten.buildkit.messages.control import (
    InfoResponse,
    ListWorkersResponse,
    PruneRequest,
    SolveRequest,
    SolveResponse,
    StatusRequest,
    StatusResponse,
    UsageRecord,
    UsageRequest,
    UsageResponse,
)
from corten.buildkit.messages.session import Empty
from corten.buildkit.messages.shared import BuildkitVersion
from corten.buildkit.sessions import SESSION_ID, SESSION_KEY, SESSION_METHOD, Sessions
from corten.buildkit.solves import Solve, Solves, image_of
from corten.buildkit.workshop import Built, Order, Workshop
from corten.errors import CortenError, NotImplementedYet

_PREFIX = "/moby.buildkit.v1.Control/"
_CACHE_EXPORTS = frozenset({"inline", "local", "registry"})
# Of an exporter: what would make the result another one than it is here.
_SWITCHES = frozenset({"push-by-digest", "rewrite-timestamp", "force-compression"})


class Control:
    """See the module."""

    def __init__(self, workshop: Workshop, sessions: Sessions, solves: Solves) -> None:
        self._workshop = workshop
        self._sessions = sessions
        self._solves = solves

    def methods(self) -> Mapping[str, Method]:
        """What is served."""
        served = {
            "Info": Method(Empty, self.info),
            "ListWorkers": Method(Empty, self.list_workers),
            "Solve": Method(SolveRequest, self.solve),
            "Status": Method(StatusRequest, stream=self.status),
            "DiskUsage": Method(UsageRequest, self.disk_usage),
            "Prune": Method(PruneRequest, stream=self.prune),
            "Session": Method(Empty, both=self.session),
        }
        return {_PREFIX + name: method for name, method in served.items()}

    async def info(self, request: Empty, call: Call) -> InfoResponse:
        return InfoResponse(BuildkitVersion("corten", __version__))

    async def list_workers(self, request: Empty, call: Call) -> ListWorkersResponse:
        return ListWorkersResponse([self._workshop.worker()])

    async def solve(self, request: SolveRequest, call: Call) -> SolveResponse:
        """Run a frontend, or wait for the gateway's client to return a result; then export."""
        _refuse(request)
        inputs = request.frontend_inputs
        solve = Solve(request.ref, request.session, frozenset(request.entitlements), inputs)
        await self._solves.add(solve)
        try:
            built = await self._result(solve, request)
            if built is None or not (built.image_id or built.variants):
                return SolveResponse()
            told = await self._workshop.export(
                built, request.all_exporters(), request.session, solve.board, self._sessions
            )
            exports = request.cache.exports if request.cache is not None else []
            told |= await self._workshop.export_cache(built, exports, request.session, solve.board, self._sessions)
            return SolveResponse(told)
        except CortenError as failure:
            # Clients retry or reword some codes; a build that fails is none of them.
            raise RpcFailed(str(failure), UNKNOWN) from failure
        finally:
            self._solves.remove(solve)

    async def _result(self, solve: Solve, request: SolveRequest) -> Built | None:
        if not request.frontend and request.definition is not None and request.definition.ops:
            return Built(image_of(request.definition), {})
        if not request.frontend:
            return await solve.returned
        inputs = {name: image_of(each) for name, each in request.frontend_inputs.items()}
        order = Order(request.frontend, request.frontend_attrs, request.session, inputs, solve.entitlements)
        return await self._workshop.build(order, solve.board, self._sessions)

    async def status(self, request: StatusRequest, call: Call) -> AsyncIterator[StatusResponse]:
        """A solve's progress, from its beginning to its end."""
        board = await self._solves.board(request.ref)
        async for message in board.watch():
            yield message

    async def session(self, stream: Stream, call: Call) -> None:
        """A session inside the call, as POST /session has it on a connection of its own."""
        id = call.get(SESSION_ID)
        self._sessions.expect(id)
        connection = Connection(is_client=True)
        tunnel = asyncio.ensure_future(Tunnel(stream, connection).run())
        try:
            await self._sessions.serve(id, call.get(SESSION_KEY), call.all(SESSION_METHOD), connection)
        finally:
            tunnel.cancel()
            with contextlib.suppress(asyncio.CancelledError, CortenError):
                await tunnel

    async def disk_usage(self, request: UsageRequest, call: Call) -> UsageResponse:
        return UsageResponse(list(self._workshop.usage()))

    async def prune(self, request: PruneRequest, call: Call) -> AsyncIterator[UsageRecord]:
        for record in self._workshop.prune(request):
            yield record


def _refuse(request: SolveRequest) -> None:
    """What is asked for and not served, before anything is built."""
    if request.source_policy:
        raise NotImplementedYet("source policies are not supported by this engine")
    exports = request.cache.exports if request.cache is not None else []
    for export in exports:
        if export.type not in _CACHE_EXPORTS:
            raise NotImplementedYet(f"cache export to {export.type!r} is not supported by this engine")
    for exporter in request.all_exporters():
        for name, value in exporter.attrs.items():
            if _changes_the_result(name, value):
                raise NotImplementedYet(
                    f"{name}={value} of the exporter {exporter.type!r} is not supported by this engine"
                )


def _changes_the_result(name: str, value: str) -> bool:
    if name in _SWITCHES:
        return value not in ("false", "0")
    return name.startswith("annotation") or (name == "compression" and value not in ("", "gzip"))
