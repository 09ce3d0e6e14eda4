"""BuildKit as one object: the protocols that two upgraded connections of the HTTP API speak.

``serving`` is for POST /grpc: the client calls us.  ``calling`` is for POST /session: we call the client.
"""

from __future__ import annotations

from collections.abc import Iterable

from corten.buildkit.control import Control
from corten.buildkit.gateway import Gateway
from corten.buildkit.grpc.connection import Connection
from corten.buildkit.grpc.server import Method, Server
from corten.buildkit.messages.health import CheckRequest, CheckResponse
from corten.buildkit.sessions import Sessions
from corten.buildkit.solves import Solves
from corten.buildkit.workshop import Workshop


class BuildKit:
    """See the module."""

    def __init__(self, workshop: Workshop) -> None:
        self.sessions = Sessions()
        solves = Solves()
        self._methods = {
            **Control(workshop, self.sessions, solves).methods(),
            **Gateway(workshop, self.sessions, solves).methods(),
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


async def _is_well(request: CheckRequest, call: object) -> CheckResponse:
    return CheckResponse(1)
