"""What a measure is: a row of the table, and how a quick action is timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.engines import Engine


@dataclass(frozen=True)
class Measure:
    """One row of the table.  ``better`` says whether less or more is better; ``goal`` is the ratio to reach."""

    name: str
    unit: str
    take: Callable[[Engine, int], float]
    goal: float | None = None
    more_is_better: bool = False


def timed(action: Callable[[], object], rounds: int, warm_up: int = 2) -> float:
    """Median milliseconds of an action."""
    for _ in range(warm_up):
        action()
    samples = []
    for _ in range(rounds):
        begin = time.perf_counter()
        action()
        samples.append((time.perf_counter() - begin) * 1000)
    return statistics.median(samples)
