"""``corten start``: start containers, maybe attached to one."""

from __future__ import annotations

import sys

from corten.cli import attach, streams, terminal
from corten.cli.command import Call, Command, Exit
from corten.client import paths
from corten.errors import CortenError, NotImplementedYet


def run(call: Call) -> int:
    """Start each, or one with its streams here."""
    options = call.options
    if options.given("checkpoint"):
        raise NotImplementedYet("checkpoints are not served")
    if options.on("attach") or options.on("interactive"):
        if len(call.arguments) > 1:
            raise Exit(1, "you cannot start and attach multiple containers at once")
        return _attached(call, call.arguments[0])
    failed: list[str] = []
    for name in call.arguments:
        try:
            call.session.post(paths.container(name, "/start"))
        except CortenError as error:
            print(error, file=sys.stderr)
            failed.append(name)
        else:
            print(name, flush=True)
    if failed:
        print(f"Error: failed to start containers: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _attached(call: Call, name: str) -> int:
    found = call.session.get(paths.container(name, "/json"))
    name, config = found["Id"], found["Config"]
    tty, stdin = bool(config["Tty"]), call.options.on("interactive") and bool(config["OpenStdin"])
    keys = attach.detach_keys(call)
    tunnel = attach.open_attach(call.session, name, stdin=stdin, keys=keys)
    removed = bool((found.get("HostConfig") or {}).get("AutoRemove"))
    waiting = attach.open_wait(call.session, name, "removed" if removed else "next-exit")
    with attach.proxied_signals(call.session, name, wanted=not tty):
        call.session.post(paths.container(name, "/start"))
        try:
            with attach.terminal_mode(call.session, paths.container(name, "/resize"), tty=tty, keys=stdin):
                streams.pump(
                    tunnel,
                    tty=tty,
                    stdin=stdin,
                    keys=terminal.parse_keys(keys) if tty and terminal.is_terminal(0) else b"",
                )
        except streams.Detached:
            print("read escape sequence", file=sys.stderr)
            return 0
        return attach.finish_wait(waiting)


COMMAND = Command(
    run,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    """
    -a, --attach                  Attach STDOUT/STDERR and forward signals
        --checkpoint=string       Restore from this checkpoint
        --checkpoint-dir=string   Use a custom checkpoint storage directory
        --detach-keys=string      Override the key sequence for detaching a container
    -i, --interactive             Attach container's STDIN
    """,
    least=1,
)
