"""One run of a pull for all who ask for the same thing at the same time.

Owns: sharing the work and the telling: who joins late first hears where every layer stands.  The run ends with its last
listener.  Knows nothing of registries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Protocol


class Progress(Protocol):
    """Whom progress is told (api/progress.py has one)."""

    def update(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None: ...
    def message(self, status: str, id: str | None = None) -> None: ...


Work = Callable[[Progress], Awaitable[None]]


class _Flight:
    """One run and its listeners; itself the Progress that the run tells."""

    def __init__(self) -> None:
        self.listeners: list[Progress] = []
        self.task: asyncio.Task[None] | None = None
        self._messages: list[tuple[str, str | None]] = []
        self._layers: dict[str, tuple[str, int | None, int | None]] = {}

    def update(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        self._layers[id] = (status, current, total)
        for listener in self.listeners:
            listener.update(id, status, current, total)

    def message(self, status: str, id: str | None = None) -> None:
        self._messages.append((status, id))
        for listener in self.listeners:
            listener.message(status, id)

    def join(self, listener: Progress) -> None:
        for status, id in self._messages:
            listener.message(status, id)
        for layer, (status, current, total) in self._layers.items():
            listener.update(layer, status, current, total)
        self.listeners.append(listener)


class Flights:
    """The runs under way, by what they are for."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight] = {}

    async def run(self, key: Hashable, work: Work, listener: Progress) -> None:
        """Do ``work``, or join those who are doing it; raises what it raises."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight()
            flight.task = asyncio.create_task(self._fly(key, flight, work), name="pull")
        flight.join(listener)
        task = flight.task
        assert task is not None
        try:
            await asyncio.shield(task)
        finally:
            flight.listeners.remove(listener)
            if not flight.listeners and not task.done():
                self._flights.pop(key, None)
                task.cancel()
                await asyncio.wait({task})

    async def _fly(self, key: Hashable, flight: _Flight, work: Work) -> None:
        try:
            await work(flight)
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]
