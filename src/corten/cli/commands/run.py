"""``corten run``: create a container, attach to it, start it, and leave with its exit status.

Owns: the order.  Attach and wait are open before the start, so that no output and no exit is missed.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from corten.cli import attach, creation, streams, terminal
from corten.cli.command import PROGRAM, Call, Command, Exit
from corten.cli.containers import flags
from corten.client import paths
from corten.client.session import Response, Tunnel
from corten.errors import CortenError, Invalid


def run(call: Call) -> int:
    """Run one."""
    options = call.options
    body = creation.body_of(call)
    if options.on("detach"):
        return _detached(call, body)
    attach.refuse_pipe_as_terminal(attach_stdin=body["AttachStdin"], tty=body["Tty"])
    if size := attach.console_size(tty=body["Tty"]):
        body["HostConfig"]["ConsoleSize"] = size
    keys = attach.detach_keys(call)
    terminal.parse_keys(keys)
    name = creation.create(call, body)
    tunnel = attach.open_attach(
        call.session,
        name,
        stdin=body["AttachStdin"],
        stdout=body["AttachStdout"],
        stderr=body["AttachStderr"],
        keys=keys,
    )
    waiting = attach.open_wait(call.session, name, "removed" if options.on("rm") else "next-exit")
    proxied = options.on("sig-proxy") and not body["Tty"]
    with attach.proxied_signals(call.session, name, wanted=proxied):
        try:
            call.session.post(paths.container(name, "/start"))
        except CortenError as error:
            raise _start_failure(call, error, waiting) from error
        return _attached(call, name, body, tunnel, waiting, keys)


def _detached(call: Call, body: dict[str, Any]) -> int:
    options = call.options
    if options.many("attach"):
        raise Invalid("conflicting options: cannot specify both --attach and --detach")
    body.update(AttachStdin=False, AttachStdout=False, AttachStderr=False, StdinOnce=False)
    name = creation.create(call, body)
    try:
        call.session.post(paths.container(name, "/start"))
    except CortenError as error:
        print(name)
        raise _failed(call, error) from error
    print(name)
    return 0


def _attached(call: Call, name: str, body: dict[str, Any], tunnel: Tunnel, waiting: Response, keys: str) -> int:
    tty = bool(body["Tty"])
    try:
        with attach.terminal_mode(call.session, paths.container(name, "/resize"), tty=tty, keys=body["AttachStdin"]):
            streams.pump(
                tunnel,
                tty=tty,
                stdin=body["AttachStdin"],
                keys=terminal.parse_keys(keys) if tty and terminal.is_terminal(0) else b"",
            )
    except streams.Detached:
        print("read escape sequence", file=sys.stderr)
        return 0
    return attach.finish_wait(waiting)


def _start_failure(call: Call, error: CortenError, waiting: Response) -> Exit:
    if call.options.on("rm"):
        # The daemon removes what could not start; leaving before that would let a next run meet its name.
        with contextlib.suppress(CortenError):
            attach.finish_wait(waiting)
    return _failed(call, error)


def _failed(call: Call, error: CortenError) -> Exit:
    more = f"{PROGRAM}: {error}\n\nRun '{PROGRAM} {call.path} --help' for more information"
    return Exit(attach.status_of_start(error), more)


COMMAND = Command(
    run,
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    flags.CREATE + flags.RUN,
    least=1,
    interspersed=False,
    failure=125,
)
