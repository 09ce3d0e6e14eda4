"""An exec's way into a running container: joins it, finds out all that must be known, then makes the process.

Runs in a child of the shim (entrants.py) that is outside the container's pid namespace, so that it may wait, for the
word to go, without anybody inside seeing it.  The process is born inside, our sibling, and makes a list of system calls
that ends in execve (kernel/calls.py); then we are done.

The container may be hostile and is running meanwhile.  We are not dumpable, so nobody inside can look into us or our
descriptors, nor into the new process before execve; the interpreter that we run from is sealed (supervisor/zygote.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import socket
import termios
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from corten.errors import CortenError
from corten.kernel import calls, namespaces, process, tty, wire
from corten.kernel.calls import Call, CallFailed
from corten.kernel.paths import Root
from corten.runtime import become, idmapped, init, users
from corten.runtime.protocol import StepFailure
from corten.runtime.stdio import lend
from corten.spec.runtime import Process


@dataclass(slots=True)
class Plan:
    """What is the same for all execs of a container, or made before there is one."""

    namespaces: set[str]
    init_pidfd: int
    join_fds: Sequence[int]
    stdio: Sequence[int]  # the ends of three pipes
    owner: int  # the host's number of the container's root
    find_program: Callable[[Process], bytes | None]
    rehearse: Callable[[], None] | None  # None if there is no time


@dataclass(slots=True)
class _Ready:
    """Everything is known; the process waits to be made."""

    wanted: Process
    path: str
    launch: calls.Launch
    master_fd: int


def main(plan: Plan, channel: socket.socket) -> NoReturn:
    """Take a briefing, prepare, wait for the word to go, report, wait.  The channel's end, at any time, is ours too."""
    try:
        gc.disable()  # what was the shim's and is closed here must not be closed once more
        process.set_dumpable(False)
        process.close_all_but({channel.fileno(), plan.init_pidfd, *plan.join_fds, *plan.stdio})
        if plan.rehearse:
            plan.rehearse()
        pid, fds = _serve(plan, channel)
        wire.send(channel, {"executed": pid}, fds)
        process.close_all_but({channel.fileno()})
        _next(channel)  # taking down our memory can wait until the shim has nothing better to do
    except CortenError as failure:
        report = StepFailure("find user", 22, failure.message)
    except BaseException as failure:
        report = StepFailure.of("exec", failure)
    with contextlib.suppress(OSError):
        wire.send(channel, {"failed": report.to_json()})
    os._exit(1)


def _serve(plan: Plan, channel: socket.socket) -> tuple[int, list[int]]:
    """The new process's pid, its pidfd, and the terminal's master if it has one."""
    ready, refusal = None, None
    try:
        ready = _prepare(plan, _next(channel))
    except Exception as failure:
        refusal = failure  # nobody listens before the word
    with _next(channel) as word:
        size = word.body.get("size") or {}
    if ready is None:
        assert refusal is not None
        raise refusal
    if ready.master_fd >= 0 and size.get("height") and size.get("width"):
        tty.set_size(ready.master_fd, int(size["height"]), int(size["width"]))
    try:
        pid, pidfd = ready.launch.go(for_parent=True)
    except CallFailed as failure:
        if failure.call.name == "execve":
            raise become.not_executed(ready.path, ready.wanted, failure.errno or 0) from None
        raise StepFailure.of(failure.call.step, failure) from None
    return pid, [pidfd] if ready.master_fd < 0 else [pidfd, ready.master_fd]


def _next(channel: socket.socket) -> wire.Message:
    message = wire.receive(channel)
    if message is None:
        os._exit(0)
    return message


def _prepare(plan: Plan, briefing: wire.Message) -> _Ready:
    """Join, and decide."""
    wanted = Process.parse(briefing.body["process"])
    program = plan.find_program(wanted)
    stdin = [plan.stdio[0] if briefing.body["stdin"] else os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)]
    stdio = [*stdin, *plan.stdio[1:]]
    if plan.owner:
        lend(stdio, plan.owner, plan.owner)
    status_fd = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)  # inside we have no number in /proc
    become.set_oom_score(wanted.oom_score_adj)
    if "user" in plan.namespaces:
        # Inside we may not raise them.
        calls.perform(become.limits(wanted))
        wanted = idmapped.without_limits(wanted)
    clone_flags = 0
    for kind in plan.namespaces:
        clone_flags |= namespaces.CLONE_FLAGS[kind]
    namespaces.setns(plan.init_pidfd, clone_flags)  # of the pid namespace only children become members
    if "user" in plan.namespaces:
        idmapped.become_root()
    with Root.at("/") as root:
        identity = users.identify(wanted.user, root)
    variables = become.environment(wanted, identity)
    path = become.find_program(wanted.args, variables, wanted.cwd)
    master_fd = slave_fd = -1
    if wanted.terminal:
        master_fd, slave_fd = init.open_terminal()
    streams = _take_streams(stdio, slave_fd, identity.uid)
    become.reset_signals()
    entered = become.enter(wanted, identity)
    listed = [
        Call.of("exec", "setsid"),
        *(Call.of("join control groups", "write", fd, b"0", 1) for fd in plan.join_fds),
        *streams,
        *become.restriction(wanted, identity, program, os.pread(status_fd, 1 << 16, 0), entered),
        become.execution(path, wanted, variables),
    ]
    return _Ready(wanted, path, calls.Launch(listed), master_fd)


def _take_streams(stdio: Sequence[int], slave_fd: int, uid: int) -> list[Call]:
    """To make pipes or the terminal 0, 1 and 2, and to close all others."""
    step, controlling = "open streams", []
    if slave_fd >= 0:
        os.fchown(slave_fd, uid, -1)
        controlling = [Call.of(step, "ioctl", slave_fd, termios.TIOCSCTTY, 0)]
        stdio = (slave_fd,) * 3
    elif uid:
        lend(stdio, uid)
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) if fd < 3 else fd for fd in stdio]
    return [
        *controlling,
        *(Call.of(step, "dup3", fd, target, 0) for target, fd in enumerate(moved)),
        Call.of(step, "close_range", 3, 0xFFFFFFFF, 0),
    ]
