"""Layers that something under way counts on, though no image names them yet.

Owns: the count.  A pull or a load holds the layers of its image from when it knows them until the image is recorded;
removal and collection leave held layers alone.  In memory only: with the daemon what was under way is gone too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from corten.spec.digest import Digest


class Holds:
    """How many hold each layer."""

    def __init__(self) -> None:
        self._counts: Counter[Digest] = Counter()

    def __contains__(self, chain: Digest) -> bool:
        return self._counts[chain] > 0

    def __iter__(self) -> Iterator[Digest]:
        return iter([chain for chain, count in self._counts.items() if count > 0])

    @property
    def is_busy(self) -> bool:
        """Something holds layers."""
        return bool(self._counts)

    def take(self, chains: Iterable[Digest]) -> None:
        """Hold these."""
        self._counts.update(chains)

    def give(self, chains: Iterable[Digest]) -> None:
        """Let these go."""
        self._counts.subtract(chains)
        self._counts = +self._counts

    @contextmanager
    def keep(self, chains: Iterable[Digest]) -> Iterator[None]:
        """Hold these for as long as the block runs."""
        held = list(chains)
        self.take(held)
        try:
            yield
        finally:
            self.give(held)
