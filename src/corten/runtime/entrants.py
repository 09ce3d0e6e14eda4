"""The shim's half of an exec: children that wait outside the container for what they shall start in it.

An entrant makes one process (enter.py) and is gone.  One is forked when an exec is announced, and prepares while the
client still makes up its request; another stands by for a while after each, for execs seldom come alone.  An idle
container has none.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from corten.kernel import wire
from corten.runtime import rehearsal, spawn
from corten.runtime.loop import READ
from corten.runtime.protocol import StepFailure
from corten.runtime.stdio import make_pipes

if TYPE_CHECKING:
    from corten.runtime.shim import Running, Shim

_ANNOUNCED_SECONDS = 1.0  # how long an exec that was announced may take to come
_STAND_BY_SECONDS = 10.0
_REST_SECONDS = 0.005  # the end of one exec is told before the next is prepared for
_MOST_ANNOUNCED = 8


@dataclass(slots=True, eq=False)
class Entrant:
    """A child, our ends of the pipes that it was born with, and what it has been told."""

    child: spawn.Child
    pipes: dict[str, int]
    briefing: dict[str, Any] | None = None
    running: Running | None = None


class Entrants:
    """Belong to one shim."""

    def __init__(self, shim: Shim) -> None:
        self._shim = shim
        self._all: dict[int, Entrant] = {}
        self._waiting: Entrant | None = None
        self._announced: dict[str, Entrant] = {}
        self._may_follow = False
        # Children that ended before we were told that they are ours.
        self._strays: dict[int, int] = {}

    # -- before ------------------------------------------------------------------------------------------------

    def announce(self, exec_id: str, wanted: Mapping[str, Any], *, stdin: bool) -> None:
        """Prepare for an exec that may come."""
        if len(self._announced) >= _MOST_ANNOUNCED:
            return
        entrant = self._announced[exec_id] = self.brief(wanted, stdin=stdin)

        def expire() -> None:
            if self._announced.get(exec_id) is entrant:
                del self._announced[exec_id]
                self._dismiss(entrant)

        self._shim.loop.later(_ANNOUNCED_SECONDS, expire)

    def prepared(self, exec_id: str, wanted: Mapping[str, Any], *, stdin: bool) -> Entrant | None:
        """The one that is prepared for just this."""
        entrant = self._announced.pop(exec_id, None)
        if entrant is None:
            return None
        self._may_follow = True
        if entrant.briefing != _briefing(wanted, stdin=stdin) or entrant.child.pid not in self._all:
            self._dismiss(entrant)
            return None
        return entrant

    def brief(self, wanted: Mapping[str, Any], *, stdin: bool) -> Entrant:
        """Have one prepare."""
        entrant, self._waiting = self._waiting or self._fork(rehearsing=False), None
        entrant.briefing = _briefing(wanted, stdin=stdin)
        self._say(entrant, entrant.briefing)
        return entrant

    def stand_by(self) -> None:
        """An exec has ended.  If it was a client's, have one wait for the next, for a while."""
        if not self._may_follow:
            return
        self._may_follow = False
        self._shim.loop.later(_REST_SECONDS, self._keep_one)

    def _keep_one(self) -> None:
        if self._shim.ended or self._waiting or self._announced:
            return
        with contextlib.suppress(OSError):
            entrant = self._waiting = self._fork(rehearsing=True)
            self._shim.loop.later(_STAND_BY_SECONDS, lambda: self._expire(entrant))

    def _expire(self, entrant: Entrant) -> None:
        if self._waiting is entrant:
            self._waiting = None
            self._dismiss(entrant)

    def _fork(self, *, rehearsing: bool) -> Entrant:
        """All that is opened for it is opened now, when nobody waits."""
        main = self._shim.main.child
        assert main is not None
        join_fds = self._shim.group.join_fds()
        ends, pipes = make_pipes(stdin=True)
        try:
            rehearse = rehearsal.enter if rehearsing else None
            child = spawn.spawn_entrant(self._shim.confinement, main.pidfd, join_fds, ends, rehearse)
        except BaseException:
            _close(pipes.values())
            raise
        finally:
            _close([*join_fds, *ends])
        entrant = self._all[child.pid] = Entrant(child, pipes)
        self._shim.loop.watch_child(child.pidfd)
        assert child.channel is not None
        child.channel.setblocking(False)
        self._shim.loop.add(child.channel.fileno(), READ, lambda events: self._hear(entrant))
        return entrant

    def _say(self, entrant: Entrant, body: dict[str, Any]) -> None:
        if entrant.child.channel:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # killed: its end tells
                wire.send(entrant.child.channel, body)

    # -- going -------------------------------------------------------------------------------------------------

    def go(self, entrant: Entrant, running: Running, wanted: Mapping[str, Any]) -> None:
        """Start it.  Until there is the process itself, the entrant stands for it."""
        entrant.running = running
        running.child = spawn.Child(entrant.child.pid, entrant.child.pidfd, None)
        self._shim.by_pid[entrant.child.pid] = running
        self._say(entrant, {"size": wanted.get("consoleSize")})
        pipes, entrant.pipes = entrant.pipes, {}
        if wanted.get("terminal"):
            _close(pipes.values())
            return
        if not running.has_stdin:
            os.close(pipes.pop("stdin"))
        running.stdio.take_pipes(pipes, close_on_eof=True)

    def _hear(self, entrant: Entrant) -> None:
        channel, running = entrant.child.channel, entrant.running
        if channel is None:
            return
        try:
            message = wire.receive(channel)
        except BlockingIOError:
            return
        if message is None or running is None:
            self._let_go(entrant)
            return
        with message:
            if "failed" in message.body:
                running.failure = StepFailure.parse(message.body["failed"])
                self._let_go(entrant)
            else:
                self._executed(running, message)
                self._shim.loop.later(_REST_SECONDS, lambda: self._let_go(entrant))
        self._answer(running)

    def _let_go(self, entrant: Entrant) -> None:
        """It ends, if it has not."""
        if entrant.child.channel:
            self._shim.loop.remove(entrant.child.channel.fileno())
            entrant.child.channel.close()
            entrant.child.channel = None

    def _executed(self, running: Running, message: wire.Message) -> None:
        shim, entrant = self._shim, running.child
        assert entrant is not None
        del shim.by_pid[entrant.pid]
        child = running.child = spawn.Child(int(message.body["executed"]), message.take(0), None)
        running.started_at = time.time()
        if message.fd_count > 1:
            running.stdio.open_terminal(message.take(1), stdin=running.has_stdin)
        shim.by_pid[child.pid] = running
        shim.loop.watch_child(child.pidfd)
        if (status := self._strays.pop(child.pid, None)) is not None:
            shim.reaped(child.pid, status)

    def _answer(self, running: Running) -> None:
        for connection, request in running.waiting:
            if running.failure:
                connection.fail(request, running.failure)
            else:
                assert running.child is not None
                connection.answer(request, {"pid": running.child.pid, "started_at": running.started_at})
        running.waiting.clear()

    # -- after -------------------------------------------------------------------------------------------------

    def reaped(self, pid: int, status: int) -> bool:
        """Whether an ended child is nobody's but ours: an entrant that has done its work, or what it made."""
        entrant = self._all.pop(pid, None)
        if entrant is None:
            is_expected = any(each.running for each in self._all.values())
            if pid in self._shim.by_pid or not is_expected:
                return False
            self._strays[pid] = status
            return True
        self._hear(entrant)
        self._let_go(entrant)
        _close(entrant.pipes.values())
        entrant.pipes = {}
        running = entrant.running
        if self._waiting is entrant:
            self._waiting = None
        if not any(each.running for each in self._all.values()):
            self._strays.clear()
        if running is not None and self._shim.by_pid.get(pid) is running:
            # Nothing was made.
            running.failure = running.failure or StepFailure("exec", 0, "what should start the process was killed")
            self._answer(running)
            return False
        self._shim.loop.remove(entrant.child.pidfd)
        os.close(entrant.child.pidfd)
        return True

    def _dismiss(self, entrant: Entrant) -> None:
        self._let_go(entrant)
        _close(entrant.pipes.values())
        entrant.pipes = {}
        if entrant.child.pid in self._all:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(entrant.child.pidfd, signal.SIGKILL)

    def dismiss_all(self) -> None:
        """The container has ended."""
        for entrant in self._all.values():
            if entrant.running is None:
                self._dismiss(entrant)
            elif entrant.running.child and entrant.running.child.pid != entrant.child.pid:
                self._let_go(entrant)
        self._waiting = None
        self._announced.clear()


def _briefing(wanted: Mapping[str, Any], *, stdin: bool) -> dict[str, Any]:
    """All but what may differ from an announcement."""
    return {"process": {key: value for key, value in wanted.items() if key != "consoleSize"}, "stdin": stdin}


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
