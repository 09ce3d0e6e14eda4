"""What a measure is: a row of the table, and how a quick action is timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from bench.engines import Engine

WARM_UP = 2


@dataclass(frozen=True)
class Measure:
    """One row of the table, taken of one engine after the other; ``goal`` is the ratio to reach."""

    name: str
    unit: str
    take: Callable[[Engine, int], float]
    goal: float | None = None
    more_is_better: bool = False


@dataclass(frozen=True)
class Interleaved:
    """One row of the table, sampled of all engines in turn: what else the machine does then falls on each alike.

    ``prepare`` makes what is measured and gives the function that takes one sample.  The best of
    ``samples`` counts: what others do on the machine can only take away.  Without that number as many are taken as
    rounds were asked for, after two to warm up, and their median counts.
    """

    name: str
    unit: str
    prepare: Callable[[Engine], AbstractContextManager[Callable[[], float]]]
    goal: float | None = None
    more_is_better: bool = True
    samples: int | None = 8

    def figure(self, taken: list[float]) -> float:
        """What counts of the samples."""
        if self.samples is None:
            return statistics.median(taken[WARM_UP:])
        return max(taken) if self.more_is_better else min(taken)


def once(action: Callable[[], object]) -> float:
    """Milliseconds of an action."""
    begin = time.perf_counter()
    action()
    return (time.perf_counter() - begin) * 1000


def timed(action: Callable[[], object], rounds: int, warm_up: int = WARM_UP) -> float:
    """Median milliseconds of an action."""
    for _ in range(warm_up):
        action()
    return statistics.median(once(action) for _ in range(rounds))
