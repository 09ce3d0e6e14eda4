"""An image layout in a client's directory, by its session: blobs to read and to write.

The client names the directory when it asks for a build (``--cache-to type=local,dest=…``) and keeps the layout's
index itself.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator

from corten.buildkit.grpc import client
from corten.buildkit.grpc.status import ALREADY_EXISTS, RpcFailed
from corten.buildkit.messages.content import (
    COMMIT,
    WRITE,
    ReadContentRequest,
    ReadContentResponse,
    WriteContentRequest,
    WriteContentResponse,
)
from corten.buildkit.sessions import Session
from corten.errors import Invalid

_READ = "/containerd.services.content.v1.Content/Read"
_WRITE = "/containerd.services.content.v1.Content/Write"
_STORE = "buildkit-attachable-store-id"
PIECE = 1 << 20


class ClientStore:
    """One directory of one client."""

    def __init__(self, session: Session, directory: str) -> None:
        self._session = session
        self._metadata = [(_STORE, f"local:{directory}")]
        if not directory.isascii() or not directory.isprintable():
            raise Invalid(f"{directory!r}: the name of a cache's directory must be printable ASCII")

    async def read(self, digest: str) -> AsyncIterator[bytes]:
        """A blob, verified at its end."""
        self._session.require(_READ, "content store")
        algorithm, _, expected = digest.partition(":")
        running = hashlib.new(algorithm if algorithm in ("sha256", "sha512") else "sha256")
        async with client.opened(self._session.connection, _READ, self._metadata) as stream:
            await stream.send(ReadContentRequest(digest).to_bytes())
            stream.end()
            while (packed := await stream.receive()) is not None:
                data = ReadContentResponse.parse(packed).data
                running.update(data)
                yield data
            client.check(stream)
        if running.hexdigest() != expected:
            raise Invalid(f"the client sent other bytes than {digest}")

    async def write(self, digest: str, size: int, pieces: AsyncIterator[bytes]) -> None:
        """A blob; nothing to do where it is there already."""
        self._session.require(_WRITE, "content store")
        ref = f"corten-{secrets.token_hex(8)}"
        async with client.opened(self._session.connection, _WRITE, self._metadata) as stream:

            async def say(action: int, offset: int, data: bytes = b"") -> int:
                await stream.send(WriteContentRequest(action, ref, size, digest, offset, data).to_bytes())
                packed = await stream.receive()
                if packed is None:
                    client.check(stream)
                    raise Invalid(f"the client took not all of {digest}")
                return WriteContentResponse.parse(packed).offset

            try:
                offset = 0
                async for data in pieces:
                    for at in range(0, len(data), PIECE):
                        offset = await say(WRITE, offset, data[at : at + PIECE])
                await say(COMMIT, offset)
            except RpcFailed as failure:
                if failure.code != ALREADY_EXISTS:
                    raise
            stream.end()
