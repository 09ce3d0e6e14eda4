"""Tasks that succeed or fail together."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Together(asyncio.TaskGroup):
    """A task group that raises the first failure itself, not a group of failures: callers match on its class."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group.exceptions[0].__cause__
