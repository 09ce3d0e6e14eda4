"""What one solve tells: its vertexes, their logs and bars.  Whoever watches gets everything from the beginning.

A vertex is begun and ended through ``Shown``; the board keeps the messages until nobody holds it any more.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace

from corten.buildkit.messages.control import StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning
from corten.buildkit.messages.shared import Timestamp
from corten.errors import CortenError

STDOUT = 1
# BuildKit clips there, too.
LOG_LIMIT = 2 << 20
_BATCH = 200


def now() -> Timestamp:
    """This moment."""
    return Timestamp.of(time.time_ns())


class Shown:
    """A vertex that has begun."""

    def __init__(self, board: Board, vertex: Vertex) -> None:
        self._board = board
        self._vertex = vertex
        self._logged = 0
        self._bars: dict[str, VertexStatus] = {}

    @property
    def digest(self) -> str:
        return self._vertex.digest

    @property
    def is_over(self) -> bool:
        return self._vertex.completed is not None

    def cached(self) -> None:
        """It is taken from the cache; told with its end.  What had to be pulled was not."""
        self._vertex.cached = not self._bars

    def log(self, text: str) -> None:
        """What its process says."""
        if self._logged > LOG_LIMIT:
            return
        self._logged += len(text)
        if self._logged > LOG_LIMIT:
            text += f"\n[output clipped, log limit {LOG_LIMIT >> 20}MiB reached]\n"
        line = VertexLog(self._vertex.digest, now(), STDOUT, text.encode("utf-8", "replace"))
        self._board.tell(StatusResponse(logs=[line]))

    def status(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        """A bar moves; ``status`` is its name where it has no id."""
        if not id:
            return
        bar = self._bars.setdefault(id, VertexStatus(id, self._vertex.digest, f"{id} {status}", started=now()))
        bar.name, bar.timestamp = f"{id} {status}", now()
        bar.current, bar.total = current or 0, total or 0
        if status in ("Pull complete", "Already exists", "done"):
            bar.completed = bar.timestamp
        self._board.tell(StatusResponse(statuses=[replace(bar)]))

    def note(self, name: str) -> None:
        """Something small that was done: "naming to docker.io/library/x"."""
        at = now()
        self._board.tell(StatusResponse(statuses=[VertexStatus(name, self._vertex.digest, name, 0, 0, at, at, at)]))

    def done(self, error: str = "") -> None:
        """It is over; said once."""
        if not self.is_over:
            self._vertex.completed, self._vertex.error = now(), error
            self._board.tell(StatusResponse(vertexes=[replace(self._vertex)]))


class Board:
    """See the module."""

    def __init__(self) -> None:
        self._told: list[StatusResponse] = []
        self._vertexes: list[Shown] = []
        self._changed = asyncio.Event()
        self._is_closed = False

    def begin(self, name: str) -> Shown:
        """A step begins."""
        vertex = Vertex(f"sha256:{os.urandom(32).hex()}", name=name, started=now())
        shown = Shown(self, vertex)
        self._vertexes.append(shown)
        self.tell(StatusResponse(vertexes=[replace(vertex)]))
        return shown

    @contextmanager
    def step(self, name: str) -> Iterator[Shown]:
        """A step for the length of a block."""
        shown = self.begin(name)
        try:
            yield shown
        except CortenError as failure:
            shown.done(failure.message)
            raise
        shown.done()

    def warn(self, warning: VertexWarning) -> None:
        """Something is not as it should be; shown at the end."""
        self.tell(StatusResponse(warnings=[warning]))

    def tell(self, message: StatusResponse) -> None:
        """Let the watchers know."""
        self._told.append(message)
        self._wake()

    def close(self) -> None:
        """Nothing more will be told; what has not ended was cancelled."""
        if not self._is_closed:
            for shown in self._vertexes:
                shown.done("context canceled")
            self._is_closed = True
            self._wake()

    def _wake(self) -> None:
        waiting, self._changed = self._changed, asyncio.Event()
        waiting.set()

    async def watch(self) -> AsyncIterator[StatusResponse]:
        """Everything, in order, a few at a time."""
        at = 0
        while True:
            while at < len(self._told):
                batch = self._told[at : at + _BATCH]
                at += len(batch)
                yield _merged(batch)
            if self._is_closed:
                return
            await self._changed.wait()


def _merged(batch: list[StatusResponse]) -> StatusResponse:
    out = StatusResponse()
    for each in batch:
        out.vertexes += each.vertexes
        out.statuses += each.statuses
        out.logs += each.logs
        out.warnings += each.warnings
    return out
