"""Directories made ahead: one that is being made already counts, or sweep() would take it for a leftover."""

from __future__ import annotations

import itertools
import threading

from corten.store.snapshots.spares import FULL, Spares


def test_a_directory_in_the_making_counts_as_a_spare() -> None:
    seen, go_on = threading.Event(), threading.Event()
    filling: list[int] = []

    def lay(number: int) -> None:
        if threading.current_thread().name == "spares" and not filling:
            filling.append(number)
            seen.set()  # its directory is there, and it is not ready yet
            assert go_on.wait(10)

    spares = Spares(itertools.count(1).__next__, lay)
    mine = spares.take()
    assert seen.wait(10)
    assert filling[0] in spares
    assert mine not in spares
    go_on.set()
    taken = {spares.take() for _ in range(5)}
    assert len(taken | {mine}) == 6


def test_bad_ground_is_used_last() -> None:
    filled = threading.Event()

    def lay(number: int) -> None:
        if number > FULL:
            filled.set()

    spares = Spares(itertools.count(1).__next__, lay, lambda number: number % 2 == 0)
    spares.take()  # there was no other
    assert filled.wait(10)
    taken = [spares.take() for _ in range(3)]
    assert all(number % 2 == 0 for number in taken)


def test_there_may_be_no_good_ground() -> None:
    spares = Spares(itertools.count(1).__next__, lambda number: None, lambda number: False)
    assert len({spares.take() for _ in range(20)}) == 20
