"""An exec's process, from the fork to execve: joins a running container and becomes the process asked for.

The container may be hostile and is running while we enter.  We are not dumpable, so nobody inside can look into us or
our descriptors before execve; the interpreter that we run from is sealed (supervisor/zygote.py).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from corten.errors import CortenError
from corten.kernel import namespaces, process, tty, wire
from corten.kernel.paths import Root
from corten.runtime import become, idmapped, init, users
from corten.runtime.protocol import StepFailure
from corten.spec.runtime import Process


@dataclass(slots=True)
class Plan:
    """What the shim has decided and opened before the fork."""

    process: Mapping[str, Any]  # parsed here: what it costs is not the shim's to keep
    namespaces: set[str]
    init_pidfd: int
    join_fds: list[int]
    stdio: Sequence[int]
    find_program: Callable[[Process], bytes | None]


def main(plan: Plan, channel: socket.socket) -> NoReturn:
    """Never returns: executes, or reports and exits."""
    try:
        _run(plan, channel)
    except CortenError as failure:
        report = StepFailure("find user", 22, failure.message)
    except BaseException as failure:
        report = StepFailure.of("exec", failure)
    with contextlib.suppress(OSError):
        wire.send(channel, {"failed": report.to_json()})
    os._exit(1)


def _run(plan: Plan, channel: socket.socket) -> NoReturn:
    signal.set_wakeup_fd(-1)
    process.set_dumpable(False)
    wanted = Process.parse(plan.process)
    program = plan.find_program(wanted)
    os.setsid()
    for fd in plan.join_fds:
        os.write(fd, b"0")
    if "user" in plan.namespaces:
        # Inside we may not raise them.
        become.limit(wanted)
        wanted = idmapped.without_limits(wanted)
    clone_flags = 0
    for kind in plan.namespaces - {"pid"}:
        clone_flags |= namespaces.CLONE_FLAGS[kind]
    namespaces.setns(plan.init_pidfd, clone_flags)
    if "user" in plan.namespaces:
        idmapped.become_root()
    with Root.at("/") as root:
        identity = users.identify(wanted.user, root)
    variables = become.environment(wanted, identity)
    path = become.find_program(wanted.args, variables, wanted.cwd)
    slave_fd = -1
    if wanted.terminal:
        master_fd, slave_fd = init.open_terminal()
        if wanted.height and wanted.width:
            tty.set_size(master_fd, wanted.height, wanted.width)
        wire.send(channel, {"terminal": True}, [master_fd])
    init.take_streams(plan.stdio, slave_fd, identity.uid)
    process.close_all_but({channel.fileno()})
    become.restrict(wanted, identity, program)
    become.execute(path, wanted, variables, die_with_parent=False)
