"""A running container on the user's streams: what run, start and attach have in common.

Owns: the attach request, raw mode, resizing, signals, the wait for the exit status.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from corten.cli import streams, terminal
from corten.cli.command import Call, Exit
from corten.client import paths
from corten.client.session import Response, Session, Tunnel
from corten.errors import CortenError, Invalid


def detach_keys(call: Call) -> str:
    """The keys that the flag, the configuration or the default name."""
    return call.options.text("detach-keys") or call.config.text("detachKeys") or terminal.DETACH_KEYS


def refuse_pipe_as_terminal(*, attach_stdin: bool, tty: bool) -> None:
    """Raise where a terminal is wanted for the container and there is none here."""
    if attach_stdin and tty and not terminal.is_terminal(0):
        raise Exit(1, "the input device is not a TTY")


def open_attach(
    session: Session, name: str, *, stdin: bool, stdout: bool = True, stderr: bool = True, keys: str = ""
) -> Tunnel:
    """Attach; the connection carries the container's streams from now on."""
    query = {"stream": True, "stdin": stdin, "stdout": stdout, "stderr": stderr, "detachKeys": keys}
    return session.hijack(paths.container(name, "/attach"), query)


def open_wait(session: Session, name: str, condition: str) -> Response:
    """Begin to wait.  The daemon answers the head at once, so that no exit is missed; the body comes with the exit."""
    return session.request("POST", paths.container(name, "/wait"), {"condition": condition}, b"")


def finish_wait(response: Response) -> int:
    """The exit status."""
    answer: dict[str, Any] = response.json() or {}
    problem = (answer.get("Error") or {}).get("Message")
    if problem:
        raise Invalid(str(problem))
    return int(answer["StatusCode"])


@contextlib.contextmanager
def terminal_mode(session: Session, path: str, *, tty: bool, keys: bool) -> Iterator[None]:
    """A container terminal of the size of ours, and raw keys where ours go to it; ``path`` takes the resize requests.

    Without raw keys Ctrl-C ends this program: with them it would reach nobody where keys are not sent on.
    """

    def resize(rows: int, columns: int) -> None:
        # Too early (not started yet) or too late is no reason to fail.
        with contextlib.suppress(CortenError):
            session.post(path, {"h": rows, "w": columns})

    with contextlib.ExitStack() as stack:
        if tty and keys:
            stack.enter_context(terminal.raw(0))
        if tty and terminal.is_terminal(1):
            stack.enter_context(terminal.on_resize(resize))
        yield


@contextlib.contextmanager
def proxied_signals(session: Session, name: str, *, wanted: bool) -> Iterator[None]:
    """Send the signals that we receive to the container."""
    if not wanted:
        yield
        return

    def send(signal: str) -> None:
        with contextlib.suppress(CortenError):
            session.post(paths.container(name, "/kill"), {"signal": signal})

    with streams.forwarded_signals(send):
        yield


def status_of_start(error: CortenError) -> int:
    """126, 127 or 125 by what the daemon says about a process that it could not start."""
    text = error.message
    if any(words in text for words in ("executable file not found", "no such file or directory", "cannot find the")):
        return 127
    if "permission denied" in text or "is a directory" in text:
        return 126
    return 125


def console_size(*, tty: bool) -> list[int] | None:
    """Rows and columns to begin with."""
    found = terminal.size() if tty and os.name != "nt" else None
    return list(found) if found else None
