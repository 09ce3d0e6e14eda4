"""The gateway: a client that drives its own solve runs frontends, looks at results, and returns one.

The solve is named by a header of each call.  The frontend runs here; LLB is not executed (solves.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from corten.buildkit.grpc.server import Call, Method
from corten.buildkit.grpc.status import UNKNOWN, RpcFailed
from corten.buildkit.messages.control import VertexWarning
from corten.buildkit.messages.gateway import (
    InputsResponse,
    PongResponse,
    ReadDirRequest,
    ReadDirResponse,
    ReadFileRequest,
    ReadFileResponse,
    RefMap,
    ResolveImageConfigRequest,
    ResolveImageConfigResponse,
    Result,
    ReturnRequest,
    SolveRequest,
    SolveResponse,
    StatFileRequest,
    StatFileResponse,
    WarnRequest,
)
from corten.buildkit.messages.session import Empty
from corten.buildkit.messages.shared import Cap
from corten.buildkit.sessions import Sessions
from corten.buildkit.solves import Solve, Solves, image_of
from corten.buildkit.workshop import Built, Order, Workshop
from corten.errors import CortenError

_PREFIX = "/moby.buildkit.v1.frontend.LLBBridge/"
_BUILD_ID = "buildkit-controlapi-buildid"

FRONTEND_CAPS = (
    *("solve.base", "solve.inlinereturn", "resolveimage", "resolveimage.resolvemode", "readfile", "return"),
    *("returnmap", "readdir", "statfile", "importcaches", "proto.refarray", "reference.output", "frontend.inputs"),
    *("gateway.solve.metadata", "gateway.solve.evaluate", "gateway.evaluate", "gateway.warnings", "frontend.caps"),
)
LLB_CAPS = (
    *("source.image", "source.image.resolvemode", "source.local", "source.local.unique", "source.local.sessionid"),
    *("source.local.includepatterns", "source.local.followpaths", "source.local.excludepatterns"),
    *("source.local.sharedkeyhint", "source.git", "source.http", "exec.meta.base", "exec.mount.bind"),
    *("exec.mount.cache", "exec.mount.tmpfs", "exec.mount.secret", "exec.mount.ssh", "file.base", "constraints"),
    *("platform", "meta.ignorecache", "meta.description", "meta.exportcache", "exporter.multiple"),
)


class Gateway:
    """See the module."""

    def __init__(self, workshop: Workshop, sessions: Sessions, solves: Solves) -> None:
        self._workshop = workshop
        self._sessions = sessions
        self._solves = solves

    def methods(self) -> Mapping[str, Method]:
        """What is served."""
        served = {
            "Ping": Method(Empty, self.ping),
            "Solve": Method(SolveRequest, self.solve),
            "Evaluate": Method(Empty, self.evaluate),
            "Return": Method(ReturnRequest, self.give_back),
            "Inputs": Method(Empty, self.inputs),
            "Warn": Method(WarnRequest, self.warn),
            "ResolveImageConfig": Method(ResolveImageConfigRequest, self.image_config),
            "ReadFile": Method(ReadFileRequest, self.read_file),
            "ReadDir": Method(ReadDirRequest, self.read_dir),
            "StatFile": Method(StatFileRequest, self.stat_file),
        }
        return {_PREFIX + name: method for name, method in served.items()}

    async def _solve(self, call: Call) -> Solve:
        return await self._solves.get(call.get(_BUILD_ID))

    async def ping(self, request: Empty, call: Call) -> PongResponse:
        await self._solve(call)
        caps = [[Cap(name, True) for name in names] for names in (FRONTEND_CAPS, LLB_CAPS)]
        return PongResponse(caps[0], caps[1], [self._workshop.worker()])

    async def solve(self, request: SolveRequest, call: Call) -> SolveResponse:
        solve = await self._solve(call)
        try:
            built = await self._built(request, solve)
        except CortenError as failure:
            raise RpcFailed(str(failure), UNKNOWN) from failure
        if built.variants:
            refs = RefMap({platform: solve.keep(each) for platform, each in built.variants})
            return SolveResponse("", Result(refs=refs, metadata=dict(built.metadata)))
        ref = solve.keep(built)
        return SolveResponse(ref.id, Result(ref=ref, metadata=dict(built.metadata)))

    async def _built(self, request: SolveRequest, solve: Solve) -> Built:
        if not request.frontend:
            return Built(image_of(request.definition) if request.definition and request.definition.ops else "", {})
        inputs = {name: image_of(each) for name, each in {**solve.inputs, **request.frontend_inputs}.items()}
        order = Order(request.frontend, request.frontend_opt, solve.session, inputs, solve.entitlements)
        return await self._workshop.build(order, solve.board, self._sessions)

    async def evaluate(self, request: Empty, call: Call) -> Empty:
        """Results are never lazy here."""
        await self._solve(call)
        return Empty()

    async def give_back(self, request: ReturnRequest, call: Call) -> Empty:
        (await self._solve(call)).give_back(request)
        return Empty()

    async def inputs(self, request: Empty, call: Call) -> InputsResponse:
        return InputsResponse(dict((await self._solve(call)).inputs))

    async def warn(self, request: WarnRequest, call: Call) -> Empty:
        warning = VertexWarning(
            request.digest, request.level, request.short, request.detail, request.url, request.info, request.ranges
        )
        (await self._solve(call)).board.warn(warning)
        return Empty()

    async def image_config(self, request: ResolveImageConfigRequest, call: Call) -> ResolveImageConfigResponse:
        solve = await self._solve(call)
        wanted = request.platform
        platform = "/".join(filter(None, (wanted.os, wanted.architecture, wanted.variant))) if wanted else None
        digest, config = await self._workshop.image_config(request.ref, platform, solve.board)
        return ResolveImageConfigResponse(digest, config, request.ref)

    async def read_file(self, request: ReadFileRequest, call: Call) -> ReadFileResponse:
        built = (await self._solve(call)).result(request.ref)
        offset, length = (request.range.offset, request.range.length) if request.range else (0, 0)
        return ReadFileResponse(await self._workshop.read(built.image_id, request.path, offset, length))

    async def read_dir(self, request: ReadDirRequest, call: Call) -> ReadDirResponse:
        built = (await self._solve(call)).result(request.ref)
        return ReadDirResponse(await self._workshop.list(built.image_id, request.path, request.include))

    async def stat_file(self, request: StatFileRequest, call: Call) -> StatFileResponse:
        built = (await self._solve(call)).result(request.ref)
        return StatFileResponse(await self._workshop.stat(built.image_id, request.path))
