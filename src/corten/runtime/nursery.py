"""One shim ready in advance, with its creator.

Forking a process and touching its pages for the first time costs as much as all the work it does afterwards (a page
that is first written after a fork is copied, and Python writes to what it only reads).  So the zygote keeps one forked
shim that waits for a bundle, and beside it a creator that has rehearsed its work.  A burst of starts finds them gone
and forks on the spot.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from corten.kernel import wire
from corten.runtime import creator
from corten.runtime.cgroup import Hierarchies

Live = Callable[[dict[str, Any], socket.socket, socket.socket], None]


class Nursery:
    """``live`` is what a new shim does with a request, the socket to its daemon and that to its creator."""

    def __init__(self, live: Live, hierarchies: Hierarchies, rehearse: Callable[[], None]) -> None:
        self._live = live
        self._hierarchies = hierarchies
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
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                helper = creator.fork(self._hierarchies, self._rehearse)
                message = wire.receive(theirs)
                if message is not None:
                    theirs.close()
                    self._live(message.body, socket.socket(fileno=message.take()), helper)
            finally:
                os._exit(0)
        theirs.close()
        self._waiting = ours

    def fork_now(self, body: dict[str, Any], reply_fd: int, inherited: list[socket.socket]) -> None:
        """Fork a shim for a request that is there."""
        if os.fork() == 0:
            try:
                for each in inherited:
                    each.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                helper = creator.fork(self._hierarchies, None)
                self._live(body, socket.socket(fileno=reply_fd), helper)
            finally:
                os._exit(0)

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
