"""The hard work of a start, in a process of its own: open streams, parse, plan, make groups, fork init, report.

A creator is a child of the shim and seldom lives for long; it hands the shim everything that lives on, the *estate*:
descriptors by name and a few facts.  What it touches is not kept for the life of the container, as it would be in the
shim.  Init is forked with CLONE_PARENT: it is the shim's child, not ours.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Any, NoReturn

from corten.errors import CortenError
from corten.kernel import process, tty, wire
from corten.runtime import cradle, spawn
from corten.runtime.bundle import Bundle
from corten.runtime.cgroup import Group, Hierarchies
from corten.runtime.external import creation as external
from corten.runtime.external.command import Runtime
from corten.runtime.protocol import FDS, LATER_FDS, NETWORK_FDS, VERSION, StepFailure
from corten.runtime.stdio import make_pipes
from corten.spec.runtime import Spec

_NEXT_LIFE_SECONDS = 0.5
"""Containers that end so soon after their start are started many at a time."""


def main(
    requests: socket.socket,
    shim: socket.socket,
    hierarchies: Hierarchies,
    rehearse: Callable[[], None],
    early: spawn.Child | None = None,
) -> NoReturn:
    """Wait for a request and do it; again for as long as the shim's containers end soon after they have been started.

    If nobody ever asks, the sockets' ends are the shim's end too.  ``early`` is an init that waits already.
    """
    process.set_parent_death_signal(signal.SIGKILL)  # what we make would be nobody's child
    asked: socket.socket | None = requests
    while asked and _create(asked, shim, hierarchies, early):
        process.close_all_but({shim.fileno()})
        gc.collect()
        if asked := _next_life(shim):
            early = cradle.fill(hierarchies, rehearse)
    os._exit(0)


def _create(requests: socket.socket, shim: socket.socket, hierarchies: Hierarchies, early: spawn.Child | None) -> bool:
    """One creation; whether the shim has a container now."""
    with requests:
        message = wire.receive(requests)
    if message is None:
        return False
    with message, socket.socket(fileno=message.take()) as daemon:
        creation = _Creation(Bundle(str(message.body["bundle"])), hierarchies, early)
        try:
            creation.run(message, daemon, shim)
        except BaseException as failure:
            report = StepFailure.of("create", failure)
            if isinstance(failure, CortenError):
                report = StepFailure("create", 22, failure.message)
            creation.undo()
            with contextlib.suppress(OSError):
                wire.send(daemon, {"event": "failed", **report.to_json()})
            return False
        creation.let_go()
    return True


def _next_life(shim: socket.socket) -> socket.socket | None:
    """Where the next request comes from, if the container ends soon: then nothing need be forked for the next."""
    if not select.select([shim], [], [], _NEXT_LIFE_SECONDS)[0]:
        return None
    message = wire.receive(shim)
    return socket.socket(fileno=message.take()) if message else None


WAKING = frozenset({"daemon", "listener", "channel", "pidfd", "stdout", "stderr", "master", "oom"})
"""Descriptors that make a shim wake up."""


class _Creation:
    """One start, and what must be undone if it fails."""

    def __init__(self, bundle: Bundle, hierarchies: Hierarchies, early: spawn.Child | None) -> None:
        self.bundle = bundle
        self._early = early
        self._is_told = False  # the daemon has the descriptors of the network
        self.group: Group | None = None
        self.child: spawn.Child | None = None
        self.estate: dict[str, int] = {}  # descriptors for the shim, by name
        self._hierarchies = hierarchies

    def run(self, request: wire.Message, daemon: socket.socket, shim: socket.socket) -> None:
        bundle, estate = self.bundle, self.estate
        clients = request.body.get("clients") or []
        estate |= {f"client{index}": request.take(index + 1) for index in range(len(clients))}
        cgroup_parent = str(request.body["cgroup_parent"])
        estate["lock"] = _lock(bundle.path)
        os.makedirs(bundle.rootfs, exist_ok=True)
        bundle.forget()
        options, config = bundle.shim_options(), bundle.config()
        process_body = config.get("process") or {}
        if bool(options.get("tty")) != bool(process_body.get("terminal")):
            raise StepFailure("create", 22, "shim.json and config.json differ about the terminal")
        group_path = (config.get("linux") or {}).get("cgroupsPath") or f"{cgroup_parent}/{bundle.id}"
        group = self.group = self._hierarchies.group(group_path)
        spec = self._begin(config, group, options, daemon if request.body.get("connect") else None)
        child = self.child
        assert child is not None
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
        if options.get("runtime"):
            state["runtime_state"] = Runtime.parse(options["runtime"]).state_of(bundle.id)
        bundle.write_state(state)
        process.set_title(f"corten-shim {bundle.id}", os.getppid())
        self._await_init(child, spec, options)
        # First to the daemon, which is waiting; what it asks next waits in the socket.
        wire.send(daemon, {"event": "created", **state}, self._shown())
        is_watched = bool(options.get("expect_client", True) or clients)
        starting = int(request.body.get("start") or 0)
        if not starting and (not is_watched or request.body.get("connect")):
            starting = self._asked_to_start(daemon, wait=not is_watched)
        if starting:
            self._start(state)
        if starting and not is_watched:
            self._report_start(daemon, starting, state)
            starting = 0
        estate["daemon"] = daemon.fileno()
        self._hand_over(shim, options, state, spec, {"clients": clients, "starting": starting})

    def _shown(self) -> list[int]:
        """The descriptors for the daemon: all, or those that it has not got yet."""
        return [self.estate[name] for name in (LATER_FDS if self._is_told else FDS)]

    def _hand_over(
        self, shim: socket.socket, options: dict[str, Any], state: dict[str, Any], spec: Spec, rest: dict[str, Any]
    ) -> None:
        """A shim that expects no client sleeps until one of the first descriptors has something to say: shim.sleep."""
        if "netlink" in self.estate:
            os.close(self.estate.pop("netlink"))
        names = sorted(self.estate, key=lambda name: name not in WAKING)
        is_watched = bool(options.get("expect_client", True) or rest["clients"])
        body = {
            "bundle": self.bundle.path,
            "options": options,
            "state": state,
            "confinement": spawn.Confinement.of(spec).to_json(),
            "fds": names,
            **rest,
        }
        waking = 0 if is_watched else sum(name in WAKING for name in names)
        socket.send_fds(shim, [bytes([waking]), wire.encode(body)], [self.estate[name] for name in names])

    def _asked_to_start(self, daemon: socket.socket, *, wait: bool) -> int:
        """The number of the request to start, if that is the next thing that happens (or has happened already).

        A container of which nobody wants anything then costs a shim that has hardly run.
        """
        assert self.child is not None
        if wait:
            select.select([daemon.fileno(), self.estate["listener"], self.child.pidfd], [], [])
        try:
            seen = daemon.recv(4096, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        if b'"op":"start"' not in seen or not (message := wire.receive(daemon)):
            return 0
        return int(message.body.get("id") or 0)

    def _start(self, state: dict[str, Any]) -> None:
        """Pass the word on."""
        assert self.child is not None
        assert self.child.channel is not None
        with contextlib.suppress(OSError):  # init has ended: its channel tells
            wire.send(self.child.channel, {"start": True})
        state |= {"status": "running", "started_at": time.time()}
        self.bundle.write_state(state)  # while init executes: from here on it may have run, whoever dies

    def _report_start(self, daemon: socket.socket, request: int, state: dict[str, Any]) -> None:
        """Answer the request to start, in the place of a shim that sleeps."""
        assert self.child is not None
        assert self.child.channel is not None
        answer = wire.receive(self.child.channel)
        self.child.channel.close()
        del self.estate["channel"]
        if answer is None:
            wire.send(daemon, {"id": request, "pid": self.child.pid, "started_at": state["started_at"]})
        else:
            state |= {"status": "created", "started_at": None, "failure": answer.body["failed"]}
            self.bundle.write_state(state)
            wire.send(daemon, {"id": request, "error": state["failure"]})

    def _begin(self, config: dict[str, Any], group: Group, options: dict[str, Any], told: socket.socket | None) -> Spec:
        """Set an init to work: the one that waits, if it will do, else a new one.  ``told`` hears of its network."""
        ends: list[int] = []
        if not options.get("tty"):
            ends, ours = make_pipes(stdin=bool(options.get("open_stdin")))
            self.estate |= ours
        early, self._early = self._early, None
        try:
            if options.get("runtime"):
                self._dismiss(early)
                spec = Spec.parse(config)
                runtime = Runtime.parse(options["runtime"])
                order = external.Order(self.bundle, runtime, config, spec, group, ends, self.estate["lock"])
                self.child, self.estate["starter"] = external.spawn(order)
                return spec
            if early is not None and cradle.fits(config) and (network := cradle.born(early)):
                self.estate |= dict(zip(NETWORK_FDS, network, strict=True))
                with contextlib.suppress(BrokenPipeError):
                    cradle.wake(early, self.bundle, group.path, ends)
                    self.child = early
                    if told:
                        wire.send(told, {"event": "network"}, network)
                        self._is_told = True
                    spec = Spec.parse(config)  # as init does now
                    assert early.channel is not None
                    spawn.hand_groups(group, spec, early.channel)
                    return spec
            for name in NETWORK_FDS:
                if name in self.estate:
                    os.close(self.estate.pop(name))
            self._dismiss(early)
            spec = Spec.parse(config)
            self.child = spawn.spawn_init(self.bundle, spec, group, ends)
            return spec
        finally:
            for fd in ends:
                os.close(fd)

    def _dismiss(self, early: spawn.Child | None) -> None:
        if early is not None and early.channel is not None:
            early.channel.close()  # it ends; the shim will reap it
            os.close(early.pidfd)

    def _await_init(self, child: spawn.Child, spec: Spec, options: dict[str, Any]) -> None:
        """Take what init brings."""
        assert child.channel is not None
        message = wire.receive(child.channel)
        if message is None:
            raise StepFailure("init", 0, "init ended before it was ready")
        if "failed" in message.body:
            raise StepFailure.parse(message.body["failed"])
        self.estate |= {"pidfd": child.pidfd, "channel": child.channel.fileno()}
        names = ["root"] if "netns" in self.estate else ["root", *NETWORK_FDS]
        if spec.process.terminal:
            names.append("master")
        self.estate |= {name: message.take(index) for index, name in enumerate(names)}
        if spec.process.terminal:
            master_fd = self.estate["master"]
            height = int(options.get("height") or spec.process.height)
            width = int(options.get("width") or spec.process.width)
            if height and width:
                tty.set_size(master_fd, height, width)

    def let_go(self) -> None:
        """Close what the shim has now: a lock, a listener or a stream would outlive it here."""
        if self.child and self.child.channel:
            self.child.channel.detach()
        self.estate.pop("daemon")
        for fd in self.estate.values():
            os.close(fd)

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
