"""What a shim does otherwise for a container that an external runtime made: execs, signals, the end.

All of it by helpers: a runtime takes tens of milliseconds and may hang, and the shim's streams must not wait for it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from corten.kernel import process, wire
from corten.runtime import spawn
from corten.runtime.external import creation, joining
from corten.runtime.external.command import STEP, Runtime, report
from corten.runtime.loop import READ
from corten.runtime.protocol import StepFailure

if TYPE_CHECKING:
    from corten.runtime.shim import Running, Shim
    from corten.runtime.shim_service import Connection


class Guest:
    """Belongs to one shim."""

    def __init__(self, shim: Shim, body: Mapping[str, Any], starter_fd: int) -> None:
        self._shim = shim
        self._runtime = Runtime.parse(body)
        self.is_busy = False  # the container's end has still to be told to the runtime
        shim.loop.watch_child(starter_fd)  # the one that made the container, and ends when it has started it

    def exec(self, running: Running, wanted: Mapping[str, Any], *, stdin: bool) -> None:
        """Have a further process made and answer for it; until there is one, the helper stands for it."""
        shim, stdio = self._shim, running.stdio
        ends = [] if wanted.get("terminal") else stdio.open_pipes(stdin=stdin, close_on_eof=True)
        order = joining.Order(shim.bundle, self._runtime, shim.root_fd, wanted, ends)

        def heard(message: wire.Message | None) -> None:
            if message is None:
                running.failure = StepFailure(STEP, 0, "the helper that runs the OCI runtime ended unexpectedly")
            elif "failed" in message.body:
                running.failure = StepFailure.parse(message.body["failed"])
            else:
                del shim.by_pid[helper.pid]
                running.child = spawn.Child(int(message.body["pid"]), message.take(0), None)
                running.started_at = time.time()
                shim.by_pid[running.child.pid] = running
                if wanted.get("terminal"):
                    running.stdio.open_terminal(message.take(1), stdin=stdin)
            _answer(running)

        def ended() -> None:
            if running.child and running.child is not helper and running.status is None:
                # Only now: before the helper's end it was not ours to wait for.
                shim.loop.watch_child(running.child.pidfd)

        try:
            helper = running.child = self._help(lambda channel: joining.main(order, channel), heard, ended)
        except BaseException:
            stdio.close()
            raise
        finally:
            for fd in ends:
                os.close(fd)
        shim.by_pid[helper.pid] = running

    def signal(self, connection: Connection, request: int, signum: int) -> None:
        """By the runtime, which knows whom to tell; but nothing of its doing keeps a container from being killed."""
        child = self._shim.main.child
        assert child is not None
        if signum == signal.SIGKILL:
            signal.pidfd_send_signal(child.pidfd, signum)
            connection.answer(request)
            return

        def heard(message: wire.Message | None) -> None:
            if message is None:
                connection.answer(request)
            else:
                connection.fail(request, StepFailure.parse(message.body["failed"]))

        self._call(lambda: self._runtime.call("kill", self._shim.bundle.id, str(signum)), heard)

    def bury(self) -> None:
        """The container has ended: the runtime forgets it, the groups go; the bundle is locked meanwhile."""
        group, container_id = self._shim.group, self._shim.bundle.id

        def work() -> None:
            creation.delete(self._runtime, container_id)
            if not group.remove():
                group.kill()
                group.remove()

        def heard(message: wire.Message | None) -> None:
            self.is_busy = False

        self.is_busy = True
        self._call(work, heard, keep=self._shim.lock_fd)

    def _call(self, work: Callable[[], None], heard: Callable[[wire.Message | None], None], *, keep: int = -1) -> None:
        """``heard`` gets a failure, or None."""

        def main(channel: socket.socket) -> None:
            try:
                os.setsid()
                process.set_name("corten-runtime")
                process.close_all_but({channel.fileno(), keep})
                work()
            except BaseException as failure:
                with contextlib.suppress(OSError):
                    wire.send(channel, {"failed": report(failure).to_json()})

        os.close(self._help(main, heard, lambda: None).pidfd)

    def _help(
        self,
        main: Callable[[socket.socket], None],
        heard: Callable[[wire.Message | None], None],
        ended: Callable[[], None],
    ) -> spawn.Child:
        """Fork a helper; ``heard`` gets its one message, or None at its end; ``ended`` is called when it is reaped."""
        loop = self._shim.loop
        ours, theirs = wire.pair()
        pid, pidfd = process.clone3(0)
        if pid == 0:
            try:
                gc.disable()  # what was the shim's and is closed here must not be closed once more
                ours.close()
                main(theirs)
            finally:
                os._exit(0)
        theirs.close()

        def listen(events: int) -> None:
            with contextlib.suppress(BlockingIOError):
                message = wire.receive(ours)
                loop.remove(ours.fileno())
                try:
                    heard(message)
                finally:
                    if message:
                        message.close()
                    ours.close()

        def finish(events: int) -> None:
            if ours.fileno() >= 0:
                listen(events)
            loop.remove(watch_fd)
            os.close(watch_fd)
            loop.reap()
            ended()
            self._shim.leave_if_done()

        # Two descriptors: whoever has the helper for a process of the container closes the one.
        watch_fd = os.dup(pidfd)
        ours.setblocking(False)
        loop.add(ours.fileno(), READ, listen)
        loop.add(watch_fd, READ, finish)
        return spawn.Child(pid, pidfd, None)


def _answer(running: Running) -> None:
    for connection, request in running.waiting:
        if running.failure:
            connection.fail(request, running.failure)
        elif running.child:
            connection.answer(request, {"pid": running.child.pid, "started_at": running.started_at})
    running.waiting.clear()
