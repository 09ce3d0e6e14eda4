"""The shim's event loop: epoll, children, and a few timers.  One thread, no surprises.

Children are watched by their pidfds, not by SIGCHLD: a signal handler is one more thing that every shim would pay for.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import select
import time
from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
HANGUP = select.EPOLLHUP | select.EPOLLERR

Handler = Callable[[int], None]


class Loop:
    """Calls handlers with the events that a descriptor has.  A hangup is reported even if nothing is asked for."""

    def __init__(self, reaped: Callable[[int, int], None]) -> None:
        """``reaped`` is called with the pid and wait status of every child that ends."""
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._reaped = reaped
        self.running = True

    def add(self, fd: int, events: int, handler: Handler) -> None:
        """Watch a descriptor."""
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        """Ask for other events."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Stop watching; harmless when repeated."""
        if self._handlers.pop(fd, None) is not None:
            with contextlib.suppress(OSError):
                self._epoll.unregister(fd)

    def watches(self, fd: int) -> bool:
        """Whether the descriptor has a handler."""
        return fd in self._handlers

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call once, after a while."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), call))

    def run(self) -> None:
        """Until ``running`` is false."""
        while self.running:
            timeout = max(self._timers[0][0] - time.monotonic(), 0) if self._timers else -1
            happened = [(fd, events, self._handlers.get(fd)) for fd, events in self._epoll.poll(timeout)]
            for fd, events, handler in happened:
                # Not if a handler before it has closed the descriptor: its number may be another's by now.
                if handler and self._handlers.get(fd) is handler:
                    handler(events)
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()

    def watch_child(self, pidfd: int) -> None:
        """Reap when this child ends."""

        def ended(events: int) -> None:
            self.remove(pidfd)
            self.reap()

        self.add(pidfd, READ, ended)

    def reap(self) -> None:
        """Collect every child that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._reaped(pid, status)
