"""The hard work of a start, in a process of its own: parse, plan, make control groups, fork init, hand everything over.

A creator is a child of the shim and lives for milliseconds.  What it touches is not kept for the life of the container,
as it would be in the shim.  Init is forked with CLONE_PARENT: it is the shim's child, not ours.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from corten.errors import CortenError
from corten.kernel import wire
from corten.runtime import spawn
from corten.runtime.bundle import Bundle
from corten.runtime.cgroup import Hierarchies
from corten.runtime.protocol import StepFailure


def fork(hierarchies: Hierarchies, rehearse: Callable[[], None] | None) -> socket.socket:
    """A creator that waits on the socket returned; it ends with it.  Rehearses while it waits, if it is told to."""
    ours, theirs = wire.pair()
    if os.fork() == 0:
        try:
            ours.close()
            if rehearse:
                rehearse()
            _main(theirs, hierarchies)
        finally:
            os._exit(1)
    theirs.close()
    return ours


def _main(channel: socket.socket, hierarchies: Hierarchies) -> NoReturn:
    message = wire.receive(channel)
    if message is None:
        os._exit(0)
    told: dict[str, Any] = {}
    try:
        stdio = [message.take(index) for index in range(message.fd_count)]
        _create(message.body, stdio, hierarchies, channel, told)
    except CortenError as failure:
        report = StepFailure("create", 22, failure.message)
    except BaseException as failure:
        report = StepFailure.of("create", failure)
    else:
        os._exit(0)
    with contextlib.suppress(OSError):
        wire.send(channel, {"failed": report.to_json(), **told})
    os._exit(1)


def _create(
    request: dict[str, Any],
    stdio: Sequence[int],
    hierarchies: Hierarchies,
    channel: socket.socket,
    told: dict[str, Any],
) -> None:
    """``told`` collects what the shim must clean up if we fail."""
    bundle = Bundle(str(request["bundle"]))
    spec = bundle.spec()
    group = hierarchies.group(spec.linux.cgroups_path or f"{request['cgroup_parent']}/{bundle.id}")
    told["cgroup"] = group.path
    group.create(spec.linux.resources)
    child = spawn.spawn_init(bundle, spec, group, stdio)
    told["pid"] = child.pid
    for fd in stdio:
        os.close(fd)
    message = wire.receive(child.channel)
    if message is None:
        raise StepFailure("init", 0, "init ended before it was ready")
    if "failed" in message.body:
        raise StepFailure.parse(message.body["failed"])
    fds = [child.pidfd, child.channel.fileno(), *(message.take(index) for index in range(message.fd_count))]
    told |= {
        "terminal": spec.process.terminal,
        "size": [spec.process.height, spec.process.width],
        "confinement": spawn.Confinement.of(spec).to_json(),
    }
    wire.send(channel, {"created": True, **told}, fds)
