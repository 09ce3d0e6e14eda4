"""BuildKit as one object: the protocols that two upgraded connections of the HTTP API speak.

``serving`` is for POST /grpc: the client calls us.  ``calling`` is for POST /session: we call the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from corten.buildkit.control import Control
from corten.buildkit.gateway import Gateway
from corten.buildkit.grpc.connection import Connection
from corten.buildkit.grpc.server import Call, Method, Server
from corten.buildkit.messages.control import Exporter, SolveRequest
from corten.buildkit.messages.health import CheckRequest, CheckResponse
from corten.buildkit.sessions import Sessions
from corten.buildkit.solves import Solves
from corten.buildkit.workshop import Workshop
from corten.errors import CortenError

FRONTEND = "dockerfile.v0"


@dataclass(frozen=True, slots=True)
class Direct:
    """A build asked for in one request: the frontend's options, the session with the files, (type, attributes) of
    exporters."""

    options: Mapping[str, str]
    session: str
    exporters: Sequence[tuple[str, Mapping[str, str]]]
    entitlements: Sequence[str] = ()


class BuildKit:
    """See the module."""

    def __init__(self, workshop: Workshop) -> None:
        self.sessions = Sessions()
        self._solves = Solves()
        self._control = Control(workshop, self.sessions, self._solves)
        self._methods = {
            **self._control.methods(),
            **Gateway(workshop, self.sessions, self._solves).methods(),
            "/grpc.health.v1.Health/Check": Method(CheckRequest, _is_well),
        }

    def serving(self) -> Server:
        """A server for one connection; it begins when its ``connection`` gets a transport."""
        return Server(self._methods)

    def calling(self) -> Connection:
        """A client's connection, for ``keep``."""
        return Connection(is_client=True)

    async def keep(self, id: str, shared_key: str, methods: Iterable[str], connection: Connection) -> None:
        """A session, until its connection is closed."""
        await self.sessions.serve(id, shared_key, methods, connection)

    async def run(self, wanted: Direct, tell: Callable[[bytes], None]) -> str:
        """A solve without a connection of its own; ``tell`` gets packed StatusResponses.  The image, or ""."""
        exporters = [Exporter(kind, dict(attributes)) for kind, attributes in wanted.exporters]
        request = SolveRequest(
            ref=secrets.token_hex(12),
            session=wanted.session,
            frontend=FRONTEND,
            frontend_attrs=dict(wanted.options),
            entitlements=list(wanted.entitlements),
            exporters=exporters,
        )
        working = asyncio.ensure_future(self._control.solve(request, Call("", ())))
        try:
            board = await self._solves.board(request.ref)
            async for message in board.watch():
                tell(message.to_bytes())
            return (await working).exporter_response.get("containerimage.digest", "")
        finally:
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError, CortenError):
                await working


async def _is_well(request: CheckRequest, call: object) -> CheckResponse:
    return CheckResponse(1)
