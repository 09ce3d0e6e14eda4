"""A container's parent: owns its streams, log, control socket and exit record.  Outlives daemon and zygote.

The life of a shim: lock the bundle (a shim of the container's former life may still be cleaning up), open the streams,
let the creator make control groups and init, report ``created``; serve requests (shim_service.py); when init ends,
drain its streams, write exit.json, tell everyone, remove the groups, and go when the last client has had its last byte.

It lives as long as its container, so what it touches is memory that every container costs: specs are parsed, filters
assembled and mounts planned by its short-lived children, and until something happens it sleeps.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from corten.kernel import process, wire
from corten.runtime import spawn
from corten.runtime.bundle import Bundle
from corten.runtime.cgroup import Group, Hierarchies
from corten.runtime.entrants import Entrants
from corten.runtime.external.guest import Guest
from corten.runtime.logfile import LogFile
from corten.runtime.logsink import TeeLog
from corten.runtime.loop import READ, Loop
from corten.runtime.protocol import StepFailure
from corten.runtime.shim_service import Connection, Service
from corten.runtime.stdio import Stdio
from corten.runtime.stdio import wanted as streams_wanted

_DRAIN_SECONDS = 2.0  # docker: how long a stream may outlive its process before the exit is told
_KEPT_EXECS = 256


@dataclass(slots=True)
class Running:
    """Init or an exec."""

    exec_id: str | None
    stdio: Stdio
    child: spawn.Child | None = None
    started_at: float | None = None
    status: int | None = None  # wait status, once it has ended
    record: dict[str, Any] | None = None
    waiting: list[tuple[Connection, int]] = field(default_factory=list)  # start or exec requests to answer
    failure: StepFailure | None = None
    note: Any = None  # the daemon's own words about an exec, for the daemon that comes after it
    has_stdin: bool = False


def bury(creator: spawn.Child) -> None:
    """It has ended, and has no channel from now on."""
    if creator.channel:
        creator.channel.close()
        creator.channel = None
        with contextlib.suppress(ChildProcessError):
            os.waitpid(creator.pid, 0)


class Shim:
    """All of one container's state.  ``body`` and ``fds`` are the creator's estate."""

    def __init__(
        self, body: dict[str, Any], fds: dict[str, int], hierarchies: Hierarchies, creator: spawn.Child
    ) -> None:
        self.bundle = Bundle(str(body["bundle"]))
        self.lock_fd = fds["lock"]
        self.options: dict[str, Any] = body["options"]
        self.loop = Loop(self.reaped)
        self.main = Running(None, Stdio(self.loop))
        self.execs: dict[str, Running] = {}
        self._ended_execs: deque[str] = deque()
        self.pending: dict[str, Stdio] = {}  # attached before their exec came
        self.entrants = Entrants(self)
        self.service = Service(self)
        self.netns_fd, self.root_fd = fds["netns"], fds["root"]
        self.guest = Guest(self, self.options["runtime"], fds["starter"]) if "starter" in fds else None
        self.paused = False
        self.ended = False
        self.log: LogFile | TeeLog | None = None
        self._state: dict[str, Any] = body["state"]
        self._confinement: dict[str, Any] = body["confinement"]
        self._hierarchies = hierarchies
        self._creator = creator
        self._group: Group | None = None
        self._oom_kills = 0
        self.by_pid: dict[int, Running] = {}
        self._take(body, fds)

    def _take(self, body: dict[str, Any], fds: dict[str, int]) -> None:
        if "log" in fds:
            self.log = self.main.stdio.log = self._open_log(fds["log"])
        stdin = bool(self.options.get("open_stdin"))
        if "master" in fds:
            self.main.stdio.open_terminal(fds["master"], stdin=stdin)
        else:
            self.main.stdio.take_pipes(fds, close_on_eof=bool(self.options.get("stdin_once")))
        child = self.main.child = spawn.Child(int(self._state["pid"]), fds["pidfd"], None)
        if "channel" in fds:
            child.channel = socket.socket(fileno=fds["channel"])
            child.channel.setblocking(False)
            self.loop.add(fds["channel"], READ, lambda events: self.resolve(self.main))
        self.main.started_at = self._state["started_at"]
        if "failure" in self._state:
            self.main.failure = StepFailure.parse(self._state["failure"])
        self.by_pid[child.pid] = self.main
        self.loop.watch_child(child.pidfd)
        if not self.has_pid_namespace:
            self._reap_orphans()
        if "oom" in fds:
            oom_fd = fds["oom"]
            self.loop.add(oom_fd, READ, lambda events: self._on_oom(oom_fd))
        if self._creator.channel:
            self.loop.add(self._creator.channel.fileno(), READ, self._creator_ended)
        self.service.listen(fds["listener"])
        connection = self.service.adopt(fds["daemon"])
        for index, client in enumerate(body["clients"]):
            stream = socket.socket(fileno=fds[f"client{index}"])
            self.main.stdio.attach(stream, streams_wanted(client), stdin=client["stdin"])
        if body["starting"]:
            self.main.waiting.append((connection, body["starting"]))

    def _open_log(self, fd: int) -> LogFile | TeeLog:
        file = LogFile(
            self.options["log_path"],
            fd=fd,
            max_size=int(self.options.get("log_max_size") or 0),
            max_file=int(self.options.get("log_max_file") or 1),
            compress=bool(self.options.get("log_compress")),
            attrs=self.options.get("log_attrs") or None,
        )
        sink = self.options.get("log_sink")
        return TeeLog(file, sink) if sink else file

    @property
    def confinement(self) -> spawn.Confinement:
        """What holds for execs too."""
        return spawn.Confinement.parse(self._confinement)

    @property
    def has_pid_namespace(self) -> bool:
        """Whether everything in the container ends with init."""
        return "pid" in self._confinement["namespaces"]

    def _reap_orphans(self) -> None:
        self.loop.reap()
        self.loop.later(1.0, self._reap_orphans)

    def _creator_ended(self, events: int) -> None:
        if self._creator.channel:
            self.loop.remove(self._creator.channel.fileno())
        bury(self._creator)

    def _on_oom(self, fd: int) -> None:
        with contextlib.suppress(OSError):
            os.read(fd, 4096)
        kills = self.group.oom_kills()
        if kills > self._oom_kills:
            self._oom_kills = kills
            self.service.tell({"event": "oom"})

    @property
    def group(self) -> Group:
        """The container's control groups."""
        if self._group is None:
            self._group = self._hierarchies.group(str(self._state["cgroup"]))
        return self._group

    @property
    def status(self) -> str:
        """One word."""
        if self.ended:
            return "stopped"
        if self.main.started_at is None:
            return "created"
        return "paused" if self.paused else "running"

    def describe(self) -> dict[str, Any]:
        """What ``hello`` and state.json tell."""
        error = str(self.log.error) if self.log and self.log.error else ""
        return {**self._state, "status": self.status, "started_at": self.main.started_at, "log_error": error}

    def write_state(self) -> None:
        """state.json: for recovery when this shim is gone."""
        self.bundle.write_state(self.describe())

    # -- starting ----------------------------------------------------------------------------------------------

    def start(self, connection: Connection, request: int) -> None:
        """Let init execute; answered when it has, or has not."""
        child = self.main.child
        if child is None or child.channel is None or self.main.started_at or self.main.waiting or self.ended:
            raise StepFailure("start", 16, "the container is already started")
        self.main.waiting.append((connection, request))
        try:
            wire.send(child.channel, {"start": True})
            # While init executes: from here on it may have run, whoever dies.
            self.bundle.write_state({**self.describe(), "status": "running", "started_at": time.time()})
        except OSError:
            self.resolve(self.main)

    def exec(self, connection: Connection, request: int, message: wire.Message) -> None:
        """Start a further process; answered when it executes, or fails to."""
        body = message.body
        exec_id, wanted = str(body["exec_id"]), body["process"]
        if self.ended or self.main.child is None or self.main.started_at is None:
            raise StepFailure("exec", 3, "the container is not running")
        if exec_id in self.execs:
            raise StepFailure("exec", 17, "this exec has already been started")
        stdin = bool(body.get("stdin"))
        entrant = None
        if self.guest is None:
            prepared = self.entrants.prepared(exec_id, wanted, stdin=stdin)
            entrant = prepared or self.entrants.brief(wanted, stdin=stdin)
        stdio = self.pending.pop(exec_id, None) or Stdio(self.loop)
        running = Running(exec_id, stdio, waiting=[(connection, request)], note=body.get("note"), has_stdin=stdin)
        if client := body.get("client"):
            stdio.attach(socket.socket(fileno=message.take()), streams_wanted(client), stdin=bool(client["stdin"]))
        if entrant:
            self.entrants.go(entrant, running, wanted)
        elif self.guest:
            self.guest.exec(running, wanted, stdin=stdin)
        self.execs[exec_id] = running

    def resolve(self, running: Running) -> None:
        """Read what init says on its way to execve; the channel's end is success."""
        child = running.child
        if child is None or child.channel is None or child.channel.fileno() < 0:
            return
        while True:
            try:
                message = wire.receive(child.channel)
            except BlockingIOError:
                return
            if message is None:
                break
            with message:
                if "failed" in message.body:
                    running.failure = StepFailure.parse(message.body["failed"])
        self.loop.remove(child.channel.fileno())
        child.channel.close()
        began = running.failure is None and bool(running.waiting)
        if began:
            running.started_at = time.time()
        for connection, request in running.waiting:
            if running.failure:
                connection.fail(request, running.failure)
            else:
                connection.answer(request, {"pid": child.pid, "started_at": running.started_at})
        running.waiting.clear()
        if running is self.main and not began:
            running.started_at = None
            self.write_state()

    # -- ending ------------------------------------------------------------------------------------------------

    def reaped(self, pid: int, status: int) -> None:
        """A child has ended: init, an exec, an orphan, or a compressor."""
        if self.entrants.reaped(pid, status):
            return
        running = self.by_pid.pop(pid, None)
        if running is None:
            return
        self.resolve(running)
        running.status = status
        if running is self.main and not self.has_pid_namespace:
            self.group.kill()  # no pid namespace has ended with it
        running.stdio.on_drained = lambda: self._finish(running)
        running.stdio.drain_now()
        running.stdio.settle()
        if not running.stdio.is_open:
            self._finish(running)  # it failed before its streams were opened
        elif running.record is None:
            self.loop.later(_DRAIN_SECONDS, lambda: self._finish(running))

    def _finish(self, running: Running) -> None:
        """The exit is told once; clients are cut off when there is nothing more or nobody to wait for."""
        if running.record is None:
            running.record = self._record(running)
            if running is self.main:
                self._finish_container()
            else:
                self._finish_exec(running)
        if running.stdio.is_held_back:
            self.loop.later(0.5, lambda: self._finish(running))  # a slow client still has bytes to come
        else:
            running.stdio.on_drained = None
            running.stdio.close_clients()
            self.leave_if_done()

    def _record(self, running: Running) -> dict[str, Any]:
        assert running.status is not None
        code = os.waitstatus_to_exitcode(running.status)
        oom = self.group.oom_kills() > 0 if running is self.main else False
        return {
            "status": code if code >= 0 else 128 - code,
            "signal": -code if code < 0 else None,
            "oom_killed": oom,
            "started_at": running.started_at,
            "finished_at": time.time(),
            "error": running.failure.message if running.failure else "",
        }

    def _finish_exec(self, running: Running) -> None:
        assert running.exec_id is not None and running.record is not None
        if running.child:
            self.loop.remove(running.child.pidfd)  # another child's end may have told us of this one's
            os.close(running.child.pidfd)
        self.service.tell({"event": "exited", "exec_id": running.exec_id, **running.record})
        self._ended_execs.append(running.exec_id)
        if len(self._ended_execs) > _KEPT_EXECS:
            del self.execs[self._ended_execs.popleft()]
        self.entrants.stand_by()

    def _finish_container(self) -> None:
        assert self.main.record is not None
        self.ended = True
        self.entrants.dismiss_all()
        if self.log:
            self.log.close()
        if self.main.started_at is not None:
            self.bundle.write_exit(self.main.record)
        self.service.tell({"event": "exited", "exec_id": None, **self.main.record})
        for running in self.execs.values():
            running.stdio.drain_now()
            running.stdio.close_clients()
        self._clean()

    def _clean(self) -> None:
        """Remove groups and socket, then let the container's next life begin."""
        self.service.close_listener()
        if self.guest:
            self.guest.bury()
        elif not self.group.remove():
            self.group.kill()
            self.group.remove()
        if self.main.started_at is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.bundle.state_path)
        os.close(self.lock_fd)

    def leave_if_done(self) -> None:
        """When the last client has had its last byte, and nothing is left to be done."""
        if self.guest and self.guest.is_busy:
            return
        if self.ended and not self.main.stdio.clients and not any(each.stdio.clients for each in self.execs.values()):
            self.loop.running = False

    def next_life(self) -> bool:
        """Offer the daemon to make and hold another container, where nothing of this one can be left in us.

        Nothing need be forked or warmed up then, which is most of the work of starting many containers at a time.
        """
        creator = self._creator.channel
        if creator is None or self.execs or self.guest or not self.has_pid_namespace:
            return False
        self.loop.reap()
        theirs, requests = wire.pair()
        with theirs, requests:
            try:
                wire.send(creator, {"again": True}, [requests.fileno()])
                is_told = self.service.offer(theirs)
            except OSError:
                return False
        process.set_title("corten-shim")
        return is_told

    def destroy_if_never_started(self) -> None:
        """The daemon that wanted this container is gone or has changed its mind: nobody will ever start it."""
        if self.main.started_at is None and not self.main.waiting and self.main.child and not self.ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.main.child.pid, signal.SIGKILL)
