"""What is told of one blob on its way, in either direction: how far it is, not too often, and that it waits."""

from __future__ import annotations

import asyncio

from corten.distribution.model import Progress, Retries
from corten.spec.descriptor import Descriptor

_EVERY = 0.1


class Telling:
    """Of one blob; ``verb`` is Docker's word for the transfer."""

    def __init__(self, progress: Progress, blob: Descriptor, verb: str) -> None:
        self._progress = progress
        self._blob = blob
        self._verb = verb
        self._told = 0.0

    def say(self, words: str) -> None:
        """A new state."""
        self._progress.update(self._blob.digest.short, words)

    def amount(self, offset: int) -> None:
        """How far it is."""
        now = asyncio.get_running_loop().time()
        if now - self._told >= _EVERY or offset == self._blob.size:
            self._told = now
            self._progress.update(self._blob.digest.short, self._verb, offset, self._blob.size)

    async def pause(self, retries: Retries, failures: int) -> None:
        """Wait before the next attempt."""
        seconds = retries.pause(failures)
        if seconds >= 1:
            self.say(f"Retrying in {round(seconds)} second{'s' if round(seconds) != 1 else ''}")
        await asyncio.sleep(seconds)
