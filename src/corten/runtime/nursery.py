"""One shim ready in advance, with its creator.

Forking a process and touching its pages for the first time costs as much as all the work it does afterwards (a page
that is first written after a fork is copied, and Python writes to what it only reads).  So the zygote keeps one shim
forked, that waits, its creator, that has rehearsed its work, and an init (cradle.py).  A burst of starts finds them
gone and forks on the spot; from then on it is served by those whose containers have ended (shim.py: Shim.next_life).
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable

from corten.kernel import wire
from corten.runtime import cradle, creator, lives, spawn
from corten.runtime.cgroup import Hierarchies


class Nursery:
    """Owned by the zygote.  ``daemon`` is the socket that its children must not keep."""

    def __init__(self, daemon: socket.socket, hierarchies: Hierarchies, rehearse: Callable[[], None]) -> None:
        self._daemon = daemon
        self._hierarchies = hierarchies
        self._rehearse = rehearse
        self._is_wanted = True

    @property
    def is_wanted(self) -> bool:
        """Whether the daemon would have one more wait."""
        return self._is_wanted

    def fill(self) -> None:
        """Fork a shim that waits; the daemon gets its socket, so that the next request need not pass through us.

        It ends when the daemon closes that without a request.
        """
        with self._fork(rehearsing=True) as waiting, contextlib.suppress(OSError):
            wire.send(self._daemon, {"event": "waiting"}, [waiting.fileno()])
        self._is_wanted = False

    def want(self) -> None:
        """The daemon has made use of those that waited."""
        self._is_wanted = True

    def spawn(self, message: wire.Message) -> None:
        """Give a request to a new one."""
        with self._fork(rehearsing=False) as fresh:
            wire.send(fresh, message.body, message.fds)

    def _fork(self, *, rehearsing: bool) -> socket.socket:
        ours, requests = wire.pair()
        if os.fork() == 0:
            try:
                ours.close()
                self._daemon.close()
                self._begin(requests, rehearsing=rehearsing)
            finally:
                os._exit(1)
        requests.close()
        return ours

    def _begin(self, requests: socket.socket, *, rehearsing: bool) -> None:
        """In the new process: a creator for it, then its own life."""
        to_creator, to_shim = wire.pair()
        if (pid := os.fork()) == 0:
            to_creator.close()
            early = None
            if rehearsing:
                early = cradle.fill(self._hierarchies, self._rehearse)
                self._rehearse()
            creator.main(requests, to_shim, self._hierarchies, self._rehearse, early)
        requests.close()
        to_shim.close()
        lives.main(spawn.Child(pid, -1, to_creator), self._hierarchies)
