"""Secrets and ssh agents of a client's session, for RUN --mount=type=secret|ssh."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from corten.buildkit.messages.session import Bytes
from corten.buildkit.sessions import Session
from corten.errors import CortenError

_CHUNK = 32 << 10


class SessionSecrets:
    """build.ports.Secrets; ``close`` ends the agents' sockets."""

    def __init__(self, session: Session, directory: Path) -> None:
        self._session = session
        self._directory = directory
        self._agents: dict[str, str] = {}
        self._servers: list[asyncio.Server] = []

    async def secret(self, id: str) -> bytes | None:
        """Asked for anew each time: nothing is kept."""
        return await self._session.secret(id)

    async def ssh(self, id: str) -> str | None:
        """A socket on this host that leads to the client's agent."""
        if id not in self._agents:
            if not await self._session.has_agent(id):
                return None
            path = str(self._directory / f"agent-{len(self._agents)}.sock")

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await self._forward(id, reader, writer)

            self._servers.append(await asyncio.start_unix_server(serve, path))
            os.chmod(path, 0o600)
            self._agents[id] = path
        return self._agents[id]

    async def close(self) -> None:
        for server in self._servers:
            server.close()

    async def _forward(self, id: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def to_client() -> None:
            while data := await reader.read(_CHUNK):
                await stream.send(Bytes(data).to_bytes())
            stream.end()

        with contextlib.suppress(CortenError, OSError):
            async with self._session.agent(id) as stream:
                sending = asyncio.ensure_future(to_client())
                try:
                    while (data := await stream.receive()) is not None:
                        writer.write(Bytes.parse(data).data)
                        await writer.drain()
                finally:
                    sending.cancel()
                    with contextlib.suppress(asyncio.CancelledError, CortenError, OSError):
                        await sending
        writer.close()
