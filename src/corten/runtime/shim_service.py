"""The shim's requests: who is connected, what they may ask, and the answers.

hello                                   what ``created`` tells, with the execs; + pidfd, netns, root
announce exec_id, process, stdin        that an exec may come; never answered
start                                   answered when init has executed: {"pid", "started_at"}
exec     exec_id, process, stdin        likewise for a further process; + a stream for its "client", as in attach
attach   exec_id?, stdin, stdout, stderr   + one end of a stream socket
signal   signum, exec_id?
resize   height, width, exec_id?
pause, resume
update   resources                      OCI linux.resources
stats, pids
socket   family, kind, protocol, bind?, listen?    answered with a socket of the container's network namespace
delete                                  destroys a container that was never started
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

from corten.errors import CortenError
from corten.kernel import namespaces, tty, wire
from corten.runtime.loop import HANGUP, READ
from corten.runtime.protocol import StepFailure
from corten.runtime.stdio import Stdio, wanted

if TYPE_CHECKING:
    from corten.runtime.shim import Running, Shim

_PENDING_SECONDS = 60.0


class Connection:
    """One daemon."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.setblocking(False)

    def say(self, body: dict[str, Any], fds: list[int] | None = None) -> None:
        """A daemon that does not listen is no reason to stop; it will find everything on disk."""
        with contextlib.suppress(OSError):
            wire.send(self.sock, body, fds or [])

    def answer(self, request: int, body: dict[str, Any] | None = None, fds: list[int] | None = None) -> None:
        self.say({"id": request, **(body or {})}, fds)

    def fail(self, request: int, failure: StepFailure) -> None:
        self.say({"id": request, "error": failure.to_json()})


_OPERATIONS = frozenset(
    {
        "hello",
        "start",
        "announce",
        "exec",
        "attach",
        "signal",
        "resize",
        "pause",
        "resume",
        "update",
        "stats",
        "pids",
        "socket",
        "delete",
    }
)


class Service:
    """Listens, dispatches, tells events.  An operation's method has its name, with an underscore."""

    def __init__(self, shim: Shim) -> None:
        self._shim = shim
        self._listener: socket.socket | None = None
        self._connections: list[Connection] = []

    # -- connections -------------------------------------------------------------------------------------------

    def listen(self, listener_fd: int) -> None:
        """Take connections from control.sock."""
        listener = socket.socket(fileno=listener_fd)
        listener.setblocking(False)
        self._shim.loop.add(listener_fd, READ, self._accept)
        self._listener = listener

    def close_listener(self) -> None:
        """Nobody new from here on."""
        if self._listener:
            self._shim.loop.remove(self._listener.fileno())
            self._listener.close()
            self._listener = None
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._shim.bundle.control)

    def _accept(self, events: int) -> None:
        if self._listener is None:
            return
        with contextlib.suppress(BlockingIOError):
            sock, _ = self._listener.accept()
            self._add(Connection(sock))

    def _add(self, connection: Connection) -> Connection:
        self._connections.append(connection)

        def handle(events: int) -> None:
            self._readable(connection, events)

        self._shim.loop.add(connection.sock.fileno(), READ, handle)
        return connection

    def adopt(self, fd: int) -> Connection:
        """The connection of the daemon that we are made for; it knows already that the container is created."""
        return self._add(Connection(socket.socket(fileno=fd)))

    def _fds(self) -> list[int]:
        assert self._shim.main.child is not None
        return [self._shim.main.child.pidfd, self._shim.netns_fd, self._shim.root_fd]

    def _readable(self, connection: Connection, events: int) -> None:
        while True:
            try:
                message = wire.receive(connection.sock)
            except BlockingIOError:
                if events & HANGUP:
                    message = None
                else:
                    return
            except ValueError:
                continue
            if message is None:
                self._drop(connection)
                return
            with message:
                self._serve(connection, message)

    def _drop(self, connection: Connection) -> None:
        self._shim.loop.remove(connection.sock.fileno())
        connection.sock.close()
        self._connections.remove(connection)
        if not self._connections:
            self._shim.destroy_if_never_started()

    def tell(self, body: dict[str, Any]) -> None:
        """An event, to everyone."""
        for connection in self._connections:
            connection.say(body)

    def offer(self, requests: socket.socket) -> bool:
        """Tell the daemon where it can ask for another container, if there is one daemon; OSError if it has gone."""
        if len(self._connections) != 1:
            return False
        wire.send(self._connections[0].sock, {"event": "waiting"}, [requests.fileno()])
        return True

    def _serve(self, connection: Connection, message: wire.Message) -> None:
        request = int(message.body.get("id") or 0)
        op = message.body.get("op")
        try:
            if op not in _OPERATIONS:
                raise StepFailure("request", 38, f"this shim does not know {op!r}")
            getattr(self, f"_{op}")(connection, request, message)
        except CortenError as failure:
            connection.fail(request, StepFailure(str(message.body.get("op")), 22, failure.message))
        except Exception as failure:
            connection.fail(request, StepFailure.of(str(message.body.get("op")), failure))

    # -- operations --------------------------------------------------------------------------------------------

    def _hello(self, connection: Connection, request: int, message: wire.Message) -> None:
        execs = {
            exec_id: {
                "pid": each.child.pid if each.child else 0,
                "started_at": each.started_at,
                "record": each.record,
                "note": each.note,
            }
            for exec_id, each in self._shim.execs.items()
        }
        connection.answer(request, {**self._shim.describe(), "execs": execs}, self._fds())

    def _start(self, connection: Connection, request: int, message: wire.Message) -> None:
        self._shim.start(connection, request)

    def _announce(self, connection: Connection, request: int, message: wire.Message) -> None:
        body = message.body
        if self._shim.status == "running" and not self._shim.guest:
            self._shim.entrants.announce(str(body["exec_id"]), body["process"], stdin=bool(body.get("stdin")))

    def _exec(self, connection: Connection, request: int, message: wire.Message) -> None:
        self._shim.exec(connection, request, message)

    def _running(self, message: wire.Message) -> Running:
        exec_id = message.body.get("exec_id")
        if exec_id is None:
            return self._shim.main
        running = self._shim.execs.get(exec_id)
        if running is None:
            raise StepFailure(str(message.body["op"]), 3, f"no such exec: {exec_id}")
        return running

    def _attach(self, connection: Connection, request: int, message: wire.Message) -> None:
        exec_id, body = message.body.get("exec_id"), message.body
        sock = socket.socket(fileno=message.take())
        if exec_id is not None and exec_id not in self._shim.execs:
            stdio = self._pending_stdio(exec_id)
        else:
            running = self._running(message)
            stdio = running.stdio
            if running.record is not None:
                sock.close()
                connection.answer(request)
                return
        stdio.attach(sock, wanted(body), stdin=bool(body.get("stdin")))
        connection.answer(request)

    def _pending_stdio(self, exec_id: str) -> Stdio:
        stdio = self._shim.pending.get(exec_id)
        if stdio is None:
            stdio = self._shim.pending[exec_id] = Stdio(self._shim.loop)

            def expire() -> None:
                if self._shim.pending.get(exec_id) is stdio:
                    del self._shim.pending[exec_id]
                    stdio.close()

            self._shim.loop.later(_PENDING_SECONDS, expire)
        return stdio

    def _signal(self, connection: Connection, request: int, message: wire.Message) -> None:
        running = self._running(message)
        if running.child is None or running.status is not None:
            raise StepFailure("signal", 3, "the process has already ended")
        if self._shim.guest and running is self._shim.main:
            self._shim.guest.signal(connection, request, int(message.body["signum"]))
            return
        signal.pidfd_send_signal(running.child.pidfd, int(message.body["signum"]))
        connection.answer(request)

    def _resize(self, connection: Connection, request: int, message: wire.Message) -> None:
        running = self._running(message)
        if running.stdio.master_fd < 0:
            raise StepFailure("resize", 25, "the process has no terminal")
        tty.set_size(running.stdio.master_fd, int(message.body["height"]), int(message.body["width"]))
        connection.answer(request)

    def _pause(self, connection: Connection, request: int, message: wire.Message) -> None:
        self._shim.group.freeze()
        self._shim.paused = True
        self._shim.write_state()
        connection.answer(request)

    def _resume(self, connection: Connection, request: int, message: wire.Message) -> None:
        self._shim.group.thaw()
        self._shim.paused = False
        self._shim.write_state()
        connection.answer(request)

    def _update(self, connection: Connection, request: int, message: wire.Message) -> None:
        self._shim.group.update(message.body.get("resources") or {})
        connection.answer(request)

    def _stats(self, connection: Connection, request: int, message: wire.Message) -> None:
        connection.answer(request, {"stats": self._shim.group.stats()})

    def _pids(self, connection: Connection, request: int, message: wire.Message) -> None:
        connection.answer(request, {"pids": self._shim.group.pids()})

    def _socket(self, connection: Connection, request: int, message: wire.Message) -> None:
        body = message.body
        with (
            namespaces.visiting(self._shim.netns_fd, "network"),
            socket.socket(int(body["family"]), int(body["kind"]), int(body.get("protocol") or 0)) as sock,
        ):
            if body.get("bind") is not None:
                if sock.family in (socket.AF_INET, socket.AF_INET6):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(tuple(body["bind"]))
            if body.get("listen") is not None:
                sock.listen(int(body["listen"]))
            connection.answer(request, {}, [sock.fileno()])

    def _delete(self, connection: Connection, request: int, message: wire.Message) -> None:
        self._shim.destroy_if_never_started()
        connection.answer(request)
