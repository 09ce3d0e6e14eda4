"""An exec by the container's runtime, in a helper that ends when the process runs.

The helper is the new process's reaper until the shim knows its pid: however short it lives, its status waits for the
shim, which inherits it when the helper ends.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from corten.kernel import capabilities, process, wire
from corten.kernel.paths import Root
from corten.runtime import users
from corten.runtime.bundle import Bundle
from corten.runtime.external import config
from corten.runtime.external.command import Runtime, report
from corten.runtime.external.desk import Desk
from corten.spec.runtime import Process


@dataclass(slots=True)
class Order:
    """What the shim has decided and opened."""

    bundle: Bundle
    runtime: Runtime
    root_fd: int  # the container's root
    process: Mapping[str, Any]
    stdio: Sequence[int]  # three descriptors; none with a terminal


def main(order: Order, channel: socket.socket) -> NoReturn:
    """In the helper: report the process, or why there is none, and stay until the shim has heard it."""
    try:
        os.setsid()
        process.set_name("corten-runtime")
        process.close_all_but({channel.fileno(), order.root_fd, *order.stdio})
        process.set_child_subreaper(True)
        pid, fds = _execute(order)
        wire.send(channel, {"pid": pid}, fds)
        for fd in order.stdio:
            os.close(fd)
        wire.receive(channel)
    except BaseException as failure:
        with contextlib.suppress(OSError):
            wire.send(channel, {"failed": report(failure).to_json()})
        os._exit(1)
    os._exit(0)


def _execute(order: Order) -> tuple[int, list[int]]:
    """The pid, its pidfd, and the terminal if there is one."""
    wanted = Process.parse(order.process)
    with Root(order.root_fd) as root:
        identity = users.identify(wanted.user, root)
    held = capabilities.of_process("self", "CapPrm") & capabilities.of_process("self", "CapBnd")
    with Desk(f"{order.bundle.path}/exec-{os.getpid()}") as desk:
        body = desk.write("process.json", config.process(order.process, identity, held))
        words = ["exec", "--detach", "--process", body, "--pid-file", desk.pid_file]
        if wanted.terminal:
            words += ["--console-socket", desk.open_console()]
        order.runtime.call(*words, order.bundle.id, stdio=order.stdio, log=desk.log)
        pid = desk.pid()
        fds = [os.pidfd_open(pid)]
        if wanted.terminal:
            fds.append(desk.take_terminal())
        return pid, fds
