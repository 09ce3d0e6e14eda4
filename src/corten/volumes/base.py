"""What the volumes package needs from others.

Owns: ``FactsPort``, the same shape that the network package asks for; ``daemon/app.py`` hands in ``store.facts.Facts``.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol


class FactsPort(Protocol):
    """JSON documents by kind and key, in transactions."""

    def get(self, kind: str, key: str) -> dict[str, Any] | None: ...

    def put(self, kind: str, key: str, body: dict[str, Any]) -> None: ...

    def delete(self, kind: str, key: str) -> None: ...

    def items(self, kind: str) -> dict[str, dict[str, Any]]: ...

    def transaction(self) -> AbstractContextManager[Any]: ...
