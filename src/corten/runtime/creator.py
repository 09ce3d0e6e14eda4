"""The hard work of a start, in a process of its own: open streams, parse, plan, make groups, fork init, report.

A creator is a child of the shim and lives for milliseconds; at its end it hands the shim everything that lives on, the
*estate*: descriptors by name and a few facts.  What it touches is not kept for the life of the container, as it would
be in the shim.  Init is forked with CLONE_PARENT: it is the shim's child, not ours.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import time
from typing import Any, NoReturn

from corten.errors import CortenError
from corten.kernel import process, tty, wire
from corten.runtime import spawn
from corten.runtime.bundle import Bundle
from corten.runtime.cgroup import Group, Hierarchies
from corten.runtime.protocol import VERSION, StepFailure
from corten.runtime.stdio import make_pipes
from corten.spec.runtime import Spec


def main(requests: socket.socket, shim: socket.socket, hierarchies: Hierarchies) -> NoReturn:
    """Wait for one request, do it, end.  If nobody ever asks, the sockets' ends are the shim's end too."""
    message = wire.receive(requests)
    requests.close()
    if message is None:
        os._exit(0)
    with socket.socket(fileno=message.take()) as daemon:
        creation = _Creation(Bundle(str(message.body["bundle"])), hierarchies)
        try:
            creation.run(str(message.body["cgroup_parent"]), daemon, shim)
        except BaseException as failure:
            report = StepFailure.of("create", failure)
            if isinstance(failure, CortenError):
                report = StepFailure("create", 22, failure.message)
            creation.undo()
            with contextlib.suppress(OSError):
                wire.send(daemon, {"event": "failed", **report.to_json()})
    os._exit(0)


WAKING = frozenset({"daemon", "listener", "channel", "pidfd", "stdout", "stderr", "master", "oom"})
"""Descriptors that make a shim wake up."""


class _Creation:
    """One start, and what must be undone if it fails."""

    def __init__(self, bundle: Bundle, hierarchies: Hierarchies) -> None:
        self.bundle = bundle
        self.group: Group | None = None
        self.child: spawn.Child | None = None
        self.estate: dict[str, int] = {}  # descriptors for the shim, by name
        self._hierarchies = hierarchies

    def run(self, cgroup_parent: str, daemon: socket.socket, shim: socket.socket) -> None:
        bundle, estate = self.bundle, self.estate
        estate["lock"] = _lock(bundle.path)
        os.makedirs(bundle.rootfs, exist_ok=True)
        bundle.forget()
        options, spec = bundle.shim_options(), bundle.spec()
        if bool(options.get("tty")) != spec.process.terminal:
            raise StepFailure("create", 22, "shim.json and config.json differ about the terminal")
        group = self.group = self._hierarchies.group(spec.linux.cgroups_path or f"{cgroup_parent}/{bundle.id}")
        child = self.child = self._fork_init(spec, group, options)
        # Init is at work on the other processor; all that does not need it is done meanwhile.
        if (oom_fd := group.oom_watch()) is not None:
            estate["oom"] = oom_fd
        estate["listener"] = _listen(estate["lock"], bundle.control)
        if options.get("log_path"):
            estate["log"] = os.open(options["log_path"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        state = {
            "version": VERSION,
            "shim_pid": os.getppid(),
            "pid": child.pid,
            "pid_start_time": process.start_time(child.pid),
            "status": "created",
            "started_at": None,
            "terminal": spec.process.terminal,
            "cgroup": group.path,
        }
        bundle.write_state(state)
        process.set_title(f"corten-shim {bundle.id}", os.getppid())
        netlink_fd = self._await_init(child, spec, options)
        # First to the daemon, which is waiting; what it asks next waits in the socket.
        wanted = [*(estate[name] for name in ("pidfd", "netns", "root")), netlink_fd]
        wire.send(daemon, {"event": "created", **state}, wanted)
        if not options.get("expect_client", True):
            self._start_if_asked(daemon, state)
        estate["daemon"] = daemon.fileno()
        self._hand_over(shim, options, state, spec)

    def _hand_over(self, shim: socket.socket, options: dict[str, Any], state: dict[str, Any], spec: Spec) -> None:
        """A shim that expects no client sleeps until one of the first descriptors has something to say: shim.sleep."""
        names = sorted(self.estate, key=lambda name: name not in WAKING)
        body = {
            "bundle": self.bundle.path,
            "options": options,
            "state": state,
            "confinement": spawn.Confinement.of(spec).to_json(),
            "fds": names,
        }
        waking = 0 if options.get("expect_client", True) else sum(name in WAKING for name in names)
        socket.send_fds(shim, [bytes([waking]), wire.encode(body)], [self.estate[name] for name in names])

    def _start_if_asked(self, daemon: socket.socket, state: dict[str, Any]) -> None:
        """If the next thing that happens is the word to start, pass it on: a container of which nobody wants anything
        then costs a shim that has hardly run."""
        assert self.child is not None
        assert self.child.channel is not None
        channel, listener = self.child.channel, self.estate["listener"]
        select.select([daemon.fileno(), listener, self.child.pidfd], [], [])
        try:
            seen = daemon.recv(4096, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        if b'"op":"start"' not in seen or not (message := wire.receive(daemon)):
            return
        request = message.body.get("id")
        answer = None
        with contextlib.suppress(OSError):
            wire.send(channel, {"start": True})
            state |= {"status": "running", "started_at": time.time()}
            self.bundle.write_state(state)  # while init executes: from here on it may have run, whoever dies
            answer = wire.receive(channel)
        channel.close()
        del self.estate["channel"]
        if answer is None:
            wire.send(daemon, {"id": request, "pid": self.child.pid, "started_at": state["started_at"]})
        else:
            state |= {"status": "created", "started_at": None, "failure": answer.body["failed"]}
            self.bundle.write_state(state)
            wire.send(daemon, {"id": request, "error": state["failure"]})

    def _fork_init(self, spec: Spec, group: Group, options: dict[str, Any]) -> spawn.Child:
        ends: list[int] = []
        if not spec.process.terminal:
            ends, ours = make_pipes(stdin=bool(options.get("open_stdin")))
            self.estate |= ours
        try:
            return spawn.spawn_init(self.bundle, spec, group, ends)
        finally:
            for fd in ends:
                os.close(fd)

    def _await_init(self, child: spawn.Child, spec: Spec, options: dict[str, Any]) -> int:
        """Take what init brings; its netlink socket is returned, all else is for the shim."""
        assert child.channel is not None
        message = wire.receive(child.channel)
        if message is None:
            raise StepFailure("init", 0, "init ended before it was ready")
        if "failed" in message.body:
            raise StepFailure.parse(message.body["failed"])
        self.estate |= {"pidfd": child.pidfd, "channel": child.channel.fileno()}
        self.estate |= {"netns": message.take(0), "root": message.take(1)}
        if spec.process.terminal:
            master_fd = self.estate["master"] = message.take(3)
            height = int(options.get("height") or spec.process.height)
            width = int(options.get("width") or spec.process.width)
            if height and width:
                tty.set_size(master_fd, height, width)
        return message.take(2)

    def undo(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(OSError):
            if self.child:
                signal.pidfd_send_signal(self.child.pidfd, signal.SIGKILL)
                select.select([self.child.pidfd], [], [], 5)  # readable: it has ended
            if self.group and not self.group.remove():
                self.group.kill()
                self.group.remove()
        for path in (self.bundle.control, self.bundle.state_path):
            with contextlib.suppress(OSError):
                if "lock" in self.estate:
                    os.unlink(path)


def _lock(path: str) -> int:
    """One shim at a time for a bundle, those included that are still cleaning up.  Released when the shim dies."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for _ in range(500):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
        else:
            return fd
    os.close(fd)
    raise StepFailure("lock bundle", 16, "another shim holds this container")


def _listen(directory_fd: int, path: str) -> int:
    """control.sock.  Through the directory's descriptor: a socket's path may have 108 bytes at most."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    old_umask = os.umask(0o177)
    try:
        listener.bind(f"/proc/self/fd/{directory_fd}/{os.path.basename(path)}")
    finally:
        os.umask(old_umask)
    listener.listen(8)
    return listener.detach()
