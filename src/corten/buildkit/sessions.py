"""The sessions that clients keep open: what each serves, and calling it.

Owns finding a session by its id, and the calls for credentials, secrets, ssh agents and uploads.  Directories come and
go through filesync/.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from corten.buildkit.grpc import client
from corten.buildkit.grpc.connection import Connection, Stream
from corten.buildkit.grpc.status import NOT_FOUND, UNIMPLEMENTED, RpcFailed
from corten.buildkit.messages.session import (
    AgentRequest,
    Bytes,
    CredentialsRequest,
    CredentialsResponse,
    Empty,
    SecretRequest,
    SecretResponse,
)
from corten.errors import Conflict, Invalid

FILE_SYNC = "/moby.filesync.v1.FileSync/DiffCopy"
FILE_SEND = "/moby.filesync.v1.FileSend/DiffCopy"
CREDENTIALS = "/moby.filesync.v1.Auth/Credentials"
SECRET = "/moby.buildkit.secrets.v1.Secrets/GetSecret"
CHECK_AGENT = "/moby.sshforward.v1.SSH/CheckAgent"
FORWARD_AGENT = "/moby.sshforward.v1.SSH/ForwardAgent"
UPLOAD = "/moby.upload.v1.Upload/Pull"
# Headers of a session: its id, the name of the directory that it works in, and (several) what it serves.
SESSION_ID, SESSION_KEY = "x-docker-expose-session-uuid", "x-docker-expose-session-sharedkey"
SESSION_METHOD = "x-docker-expose-session-grpc-method"
WAIT = 5.0


@dataclass(frozen=True, slots=True)
class Session:
    """A client's session; ``shared_key`` names the directory that it works in, from session to session."""

    id: str
    shared_key: str
    methods: frozenset[str]
    connection: Connection = field(compare=False)

    def supports(self, path: str) -> bool:
        return path.lower() in self.methods

    def require(self, path: str, what: str) -> None:
        """Raises Invalid unless the client serves ``path``."""
        if not self.supports(path):
            raise Invalid(f"the client offers no {what} ({path} is not supported by it)")

    async def credentials(self, host: str) -> tuple[str, str]:
        """User and secret for a registry; empty for nobody."""
        if not self.supports(CREDENTIALS):
            return "", ""
        request = CredentialsRequest(host)
        found = await client.unary(self.connection, CREDENTIALS, request, CredentialsResponse)
        return found.username, found.secret

    async def secret(self, id: str) -> bytes | None:
        """A secret, or None if the client has none of that id."""
        if not self.supports(SECRET):
            return None
        try:
            return (await client.unary(self.connection, SECRET, SecretRequest(id), SecretResponse)).data
        except RpcFailed as failure:
            if failure.code in (NOT_FOUND, UNIMPLEMENTED):
                return None
            raise

    async def has_agent(self, id: str) -> bool:
        """The client forwards an ssh agent of that id."""
        if not self.supports(CHECK_AGENT):
            return False
        try:
            await client.unary(self.connection, CHECK_AGENT, AgentRequest(id), Empty)
        except RpcFailed:
            return False
        return True

    def agent(self, id: str) -> contextlib.AbstractAsyncContextManager[Stream]:
        """One connection to it."""
        return client.opened(self.connection, FORWARD_AGENT, [("buildkit.ssh.id", id)])

    async def upload(self, path: str) -> AsyncIterator[bytes]:
        """What the client reads from its standard input."""
        self.require(UPLOAD, "upload")
        async with client.opened(self.connection, UPLOAD, [("urlpath", path)]) as stream:
            stream.end()
            while (data := await stream.receive()) is not None:
                yield Bytes.parse(data).data
            client.check(stream)


class Sessions:
    """Those that are open."""

    def __init__(self) -> None:
        self._open: dict[str, Session] = {}
        self._changed = asyncio.Condition()

    def expect(self, id: str) -> None:
        """Raises Invalid or Conflict for an id that no session may have."""
        if not id:
            raise Invalid("no session id in the request")
        if id in self._open:
            raise Conflict(f"session {id} already exists")

    async def serve(self, id: str, shared_key: str, methods: Iterable[str], connection: Connection) -> None:
        """Keep a session for as long as its connection is open."""
        session = Session(id, shared_key, frozenset(method.lower() for method in methods), connection)
        async with self._changed:
            self._open[id] = session
            self._changed.notify_all()
        try:
            await connection.closed
        finally:
            self._open.pop(id, None)

    async def get(self, id: str) -> Session:
        """The session; it may be a moment late."""
        # buildkit: what comes before a colon tells contexts apart.
        id = id.partition(":")[2] or id
        try:
            async with asyncio.timeout(WAIT), self._changed:
                await self._changed.wait_for(lambda: id in self._open)
                return self._open[id]
        except TimeoutError:
            raise Invalid(f"no active session for {id}") from None
