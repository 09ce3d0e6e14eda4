"""Being told of a build step by step, as BuildKit shows it: names, beginnings, ends, hits, what processes say.

The classic progress (ports.Progress) is one text in the file's order; a Watcher hears each step as it happens.
"""

from __future__ import annotations

from typing import Protocol


class WatchedStep(Protocol):
    """One step that has begun."""

    def cached(self) -> None:
        """The step was taken from the cache."""

    def log(self, text: str) -> None:
        """Its process says something."""

    def status(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        """A pull goes on."""

    def done(self, error: str = "") -> None:
        """It is over."""


class Watcher(Protocol):
    """Whoever wants to know."""

    def begin(self, name: str) -> WatchedStep:
        """A step begins; ``name`` is "[stage 2/3] RUN make"."""


class _Unwatched:
    """Nobody wants to know."""

    def begin(self, name: str) -> WatchedStep:
        return self

    def cached(self) -> None:
        """Nothing."""

    def log(self, text: str) -> None:
        """Nothing."""

    def status(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        """Nothing."""

    def done(self, error: str = "") -> None:
        """Nothing."""


UNWATCHED_STEP = _Unwatched()
UNWATCHED: Watcher = UNWATCHED_STEP
