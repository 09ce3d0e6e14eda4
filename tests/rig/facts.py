"""The facts port in memory; it outlives the daemon of a test."""

from __future__ import annotations

import contextlib
from typing import Any


class MemoryFacts:
    """Documents by kind and key."""

    def __init__(self) -> None:
        self.kinds: dict[str, dict[str, dict[str, Any]]] = {}

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        return self.kinds.get(kind, {}).get(key)

    def put(self, kind: str, key: str, body: dict[str, Any]) -> None:
        self.kinds.setdefault(kind, {})[key] = body

    def delete(self, kind: str, key: str) -> None:
        self.kinds.get(kind, {}).pop(key, None)

    def items(self, kind: str) -> dict[str, dict[str, Any]]:
        return dict(self.kinds.get(kind, {}))

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()
