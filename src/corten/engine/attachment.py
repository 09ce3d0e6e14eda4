"""A client's hold on the streams of a container or an exec: what the server splices to a connection.

Owns: the values that pass between engine and server.  How bytes travel is the server's affair (``server/streams.py``).
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


@dataclass(frozen=True, slots=True)
class Attachment:
    """``connect`` gives the streams as soon as there are any, or None if there never will be.

    What ``connect`` will give may be there already, as ``stream``: then it can be made ready meanwhile.
    """

    is_raw: bool
    connect: Callable[[], Awaitable[socket.socket | None]]
    stream: socket.socket | None = None
    detach_keys: bytes | None = None
    # docker: an exec's start may ask for frames of a terminal's output, or for the bare bytes of what is framed.
    wants_raw: bool | None = None
    # What was printed before, for ``logs=1``: as it goes on the wire.
    history: Callable[[], AsyncIterator[bytes]] = _nothing
    is_following: bool = True
    on_detach: Callable[[], None] = lambda: None

    @property
    def is_shown_raw(self) -> bool:
        """True if the client gets bare bytes."""
        return self.is_raw if self.wants_raw is None else self.wants_raw
