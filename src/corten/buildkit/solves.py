"""Solves in progress: their boards, their results, and what the client that drives one gives back.

A client asks Control for a solve, watches it by Status, and (docker buildx, docker compose) drives it through the
gateway under the same reference: then Control waits for what the gateway returns.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from corten.buildkit.board import Board
from corten.buildkit.grpc.status import RpcFailed
from corten.buildkit.messages.gateway import Ref, ReturnRequest
from corten.buildkit.messages.shared import Definition, Input, Op, OpMetadata, SourceOp
from corten.buildkit.workshop import Built
from corten.errors import Conflict, Invalid, NotFound, NotImplementedYet

WAIT = 5.0
# Who asks for the progress of a solve that failed at once comes after its end.
REMEMBERED = 10.0
_RESULT = "docker-image://corten.result/image@"


@dataclass(slots=True)
class Solve:
    """One solve.  ``returned`` is what the gateway's client ends it with."""

    ref: str
    session: str
    entitlements: frozenset[str] = frozenset()
    inputs: Mapping[str, Definition] = field(default_factory=dict)
    board: Board = field(default_factory=Board)
    results: dict[str, Built] = field(default_factory=dict)
    returned: asyncio.Future[Built | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def keep(self, built: Built) -> Ref:
        """Number a result."""
        if not built.image_id:
            return Ref()
        id = secrets.token_hex(12)
        self.results[id] = built
        return Ref(id, definition_of(built.image_id))

    def result(self, id: str) -> Built:
        if id not in self.results:
            raise NotFound(f"no such ref: {id}")
        return self.results[id]

    def give_back(self, request: ReturnRequest) -> None:
        """The client is done."""
        if self.returned.done():
            return
        if request.error is not None:
            self.returned.set_exception(RpcFailed(request.error.message, request.error.code))
            return
        result = request.result
        if result is not None and result.refs is not None and len(result.refs.refs) > 1:
            refs = result.refs.refs
            names = sorted(refs, key=lambda name: _place(name, result.metadata))
            variants = [(name, self.result(refs[name].id)) for name in names]
            self.returned.set_result(Built("", result.metadata, variants[0][1].trip, variants))
            return
        ref = (result.ref.id if result.ref else result.ref_deprecated) if result is not None else ""
        if result is not None and result.refs is not None:
            ref = next((each.id for each in result.refs.refs.values()), "")
        self.returned.set_result(self.result(ref) if ref else None)


def _place(platform: str, metadata: Mapping[str, bytes]) -> tuple[int, str]:
    """Where a platform stands in a result: maps come in any order, the list of platforms in that of the request."""
    listed = metadata.get("refs.platforms", b"").find(f'"{platform}"'.encode())
    return (listed, platform) if listed >= 0 else (len(metadata.get("refs.platforms", b"")), platform)


class Solves:
    """Those in progress, by reference."""

    def __init__(self) -> None:
        self._solves: dict[str, Solve] = {}
        self._ended: dict[str, Board] = {}
        self._changed = asyncio.Condition()

    async def add(self, solve: Solve) -> None:
        if not solve.ref:
            raise Invalid("a solve needs a reference")
        if solve.ref in self._solves:
            raise Conflict(f"build ID {solve.ref} exists")
        async with self._changed:
            self._solves[solve.ref] = solve
            self._changed.notify_all()

    def remove(self, solve: Solve) -> None:
        """The solve is over: who drives it is told that it is."""
        self._solves.pop(solve.ref, None)
        if not solve.returned.done():
            solve.returned.cancel()
        elif not solve.returned.cancelled():
            solve.returned.exception()
        solve.board.close()
        self._ended[solve.ref] = solve.board
        asyncio.get_running_loop().call_later(REMEMBERED, self._ended.pop, solve.ref, None)

    async def board(self, ref: str) -> Board:
        """What a solve tells, also shortly after its end."""
        await self._until(ref, lambda: ref in self._solves or ref in self._ended)
        return self._solves[ref].board if ref in self._solves else self._ended[ref]

    async def get(self, ref: str) -> Solve:
        """The solve; the request for it may be a moment late."""
        await self._until(ref, lambda: ref in self._solves)
        return self._solves[ref]

    async def _until(self, ref: str, is_known: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(WAIT), self._changed:
                await self._changed.wait_for(is_known)
        except TimeoutError:
            raise NotFound(f"no such job {ref}") from None


def definition_of(image_id: str) -> Definition:
    """A result as LLB: a source that only this engine knows.  A client hands it back as the input of another solve."""
    source = Op(source=SourceOp(_RESULT + image_id)).to_bytes()
    digest = f"sha256:{hashlib.sha256(source).hexdigest()}"
    last = Op(inputs=[Input(digest)]).to_bytes()
    names = (digest, f"sha256:{hashlib.sha256(last).hexdigest()}")
    return Definition([source, last], {name: OpMetadata() for name in names})


def image_of(definition: Definition) -> str:
    """The id of the image that a definition names; other definitions are not executed here."""
    for packed in definition.ops:
        op = Op.parse(packed)
        if op.source is not None and op.source.identifier.startswith(_RESULT):
            return op.source.identifier.removeprefix(_RESULT)
    raise NotImplementedYet(
        "LLB definitions are not executed by this engine: it builds Dockerfiles (frontend dockerfile.v0)"
    )
