"""One shim ready in advance.

Forking a shim and touching its pages for the first time costs as much as all the work it does afterwards (a page that
is first written after a fork is copied, and Python writes to what it only reads).  So the zygote keeps one forked shim
that has rehearsed its work and waits for a bundle.  A burst of starts finds it gone and forks on the spot.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from corten.kernel import wire


class Nursery:
    """``live`` is what a new shim does with a request and the socket to its daemon; it never returns."""

    def __init__(self, live: Callable[[dict[str, Any], socket.socket], None], rehearse: Callable[[], None]) -> None:
        self._live = live
        self._rehearse = rehearse
        self._waiting: socket.socket | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nobody waits."""
        return self._waiting is None

    def raise_one(self, inherited: list[socket.socket]) -> None:
        """Fork a shim that waits.  It closes what it inherits, and ends when we do."""
        ours, theirs = wire.pair()
        if os.fork() == 0:
            try:
                for each in (ours, *inherited):
                    each.close()
                self._rehearse()
                message = wire.receive(theirs)
                if message is not None:
                    theirs.close()
                    self._live(message.body, socket.socket(fileno=message.take()))
            finally:
                os._exit(0)
        theirs.close()
        self._waiting = ours

    def hand_over(self, body: dict[str, Any], reply_fd: int) -> bool:
        """Give the request to the one that waits; false if there is none."""
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return False
        with waiting:
            try:
                wire.send(waiting, body, [reply_fd])
            except OSError:
                return False  # somebody has killed it
        return True
