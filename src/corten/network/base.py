"""What the network package needs from others, as small interfaces.

Owns: ``FactsPort`` (where records are kept) and ``Sandbox`` (a way into one container's network namespace).
Knows nothing of SQLite or of the supervisor: ``daemon/app.py`` hands both in.  Read next: ``service.py``.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol


class FactsPort(Protocol):
    """JSON documents by kind and key, in transactions (``store.facts.Facts`` is one)."""

    def get(self, kind: str, key: str) -> dict[str, Any] | None: ...

    def put(self, kind: str, key: str, body: dict[str, Any]) -> None: ...

    def delete(self, kind: str, key: str) -> None: ...

    def items(self, kind: str) -> dict[str, dict[str, Any]]: ...

    def transaction(self) -> AbstractContextManager[Any]: ...


class Sandbox(Protocol):
    """The network namespace of one container, entered by somebody else on our behalf."""

    @property
    def container_id(self) -> str: ...

    def netns_fd(self) -> int:
        """Return a descriptor of the namespace; the caller closes it."""
        ...

    async def sockets(self, wanted: Sequence[tuple[int, int, int]]) -> list[socket.socket]:
        """Make sockets (family, type, protocol) inside the namespace, in one go; the caller closes them."""
        ...
