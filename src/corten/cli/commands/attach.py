"""``corten attach``: the streams of a running container on this terminal."""

from __future__ import annotations

import sys

from corten.cli import attach, streams, terminal
from corten.cli.command import Call, Command, Exit
from corten.client import paths


def run(call: Call) -> int:
    """Attach to one."""
    options = call.options
    found = call.session.get(paths.container(call.arguments[0], "/json"))
    _refuse_state(found["State"])
    name, config = found["Id"], found["Config"]
    tty, stdin = bool(config["Tty"]), not options.on("no-stdin") and bool(config["OpenStdin"])
    attach.refuse_pipe_as_terminal(attach_stdin=stdin, tty=tty)
    keys = attach.detach_keys(call)
    watched = terminal.parse_keys(keys) if tty and terminal.is_terminal(0) else b""
    waiting = attach.open_wait(call.session, name, "")
    tunnel = attach.open_attach(call.session, name, stdin=stdin, keys=keys)
    with attach.proxied_signals(call.session, name, wanted=options.on("sig-proxy") and not tty):
        try:
            with attach.terminal_mode(call.session, paths.container(name, "/resize"), tty=tty, keys=stdin):
                streams.pump(tunnel, tty=tty, stdin=stdin, keys=watched)
        except streams.Detached:
            print("read escape sequence", file=sys.stderr)
            return 0
        return attach.finish_wait(waiting)


def _refuse_state(state: dict[str, object]) -> None:
    if not state["Running"]:
        raise Exit(1, "You cannot attach to a stopped container, start it first")
    if state.get("Paused"):
        raise Exit(1, "You cannot attach to a paused container, unpause it first")
    if state.get("Restarting"):
        raise Exit(1, "You cannot attach to a restarting container, wait until it is running")


COMMAND = Command(
    run,
    "[OPTIONS] CONTAINER",
    """
        --detach-keys=string      Override the key sequence for detaching a container
        --no-stdin                Do not attach STDIN
        --sig-proxy=bool(true)    Proxy all received signals to the process
    """,
    least=1,
    most=1,
)
