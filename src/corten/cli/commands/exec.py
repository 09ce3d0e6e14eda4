"""``corten exec``: one more process in a running container."""

from __future__ import annotations

import sys
from typing import Any

from corten.cli import attach, streams, terminal
from corten.cli.command import Call, Command, Exit
from corten.cli.containers import env
from corten.client import paths
from corten.errors import CortenError


def run(call: Call) -> int:
    """Create the process, start it, and leave with its exit status."""
    options = call.options
    name, *command = call.arguments
    detach, tty = options.on("detach"), options.on("tty")
    stdin = options.on("interactive") and not detach
    if not detach:
        attach.refuse_pipe_as_terminal(attach_stdin=options.on("interactive"), tty=tty)
    keys = attach.detach_keys(call)
    created = call.session.post(paths.container(name, "/exec"), body=_body(call, command, keys))
    path = f"/exec/{created['Id']}"
    if detach:
        call.session.post(f"{path}/start", body={"Detach": True, "Tty": tty})
        return 0
    try:
        return _attached(call, path, stdin=stdin, tty=tty, keys=keys)
    except CortenError as error:
        status = attach.status_of_start(error)
        raise Exit(1 if status == 125 else status, str(error)) from error


def _body(call: Call, command: list[str], keys: str) -> dict[str, Any]:
    options = call.options
    detach, tty = options.on("detach"), options.on("tty")
    return {
        "User": options.text("user"),
        "Privileged": options.on("privileged"),
        "Tty": tty,
        "ConsoleSize": attach.console_size(tty=tty),
        "AttachStdin": options.on("interactive") and not detach,
        "AttachStdout": not detach,
        "AttachStderr": not detach,
        "DetachKeys": keys if options.given("detach-keys") else "",
        "Env": env.variables(options.many("env"), options.many("env-file")),
        "WorkingDir": options.text("workdir"),
        "Cmd": command,
        "Detach": detach,
    }


def _attached(call: Call, path: str, *, stdin: bool, tty: bool, keys: str) -> int:
    body = {"Detach": False, "Tty": tty, "ConsoleSize": attach.console_size(tty=tty)}
    tunnel = call.session.hijack(f"{path}/start", body=body)
    try:
        with attach.terminal_mode(call.session, f"{path}/resize", tty=tty, keys=stdin):
            streams.pump(
                tunnel,
                tty=tty,
                stdin=stdin,
                keys=terminal.parse_keys(keys) if tty and stdin and terminal.is_terminal(0) else b"",
            )
    except streams.Detached:
        print("read escape sequence", file=sys.stderr)
        return 0
    return int(call.session.get(f"{path}/json")["ExitCode"] or 0)


COMMAND = Command(
    run,
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    """
    -d, --detach               Detached mode: run command in the background
        --detach-keys=string   Override the key sequence for detaching a container
    -e, --env=list             Set environment variables
        --env-file=list        Read in a file of environment variables
    -i, --interactive          Keep STDIN open even if not attached
        --privileged           Give extended privileges to the command
    -t, --tty                  Allocate a pseudo-TTY
    -u, --user=string          Username or UID (format: "<name|uid>[:<group|gid>]")
    -w, --workdir=string       Working directory inside the container
    """,
    least=2,
    interspersed=False,
)
