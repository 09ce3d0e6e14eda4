"""Between a hijacked connection and the user's standard streams.

Owns: reading the terminal in a thread of its own, half-close at its end, telling output apart from errors, detaching.
Knows nothing of containers; attach.py and the commands say what the connection is.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from corten.api import framing
from corten.cli.terminal import KeyWatch
from corten.client.session import Tunnel
from corten.errors import Internal

BLOCK = 64 * 1024


class Detached(Exception):
    """The user typed the detach keys."""


def pump(tunnel: Tunnel, *, tty: bool, stdin: bool, keys: bytes = b"") -> None:
    """Carry bytes both ways until the other side ends; raises Detached."""
    connection = tunnel.connection
    typed = _Typed(connection, keys)
    if stdin:
        typed.start()
    else:
        half_close(connection)
    try:
        copy_output(received(tunnel), tty=tty)
    finally:
        connection.close()
    if typed.detached:
        raise Detached


def received(tunnel: Tunnel) -> Iterator[bytes]:
    """What the connection brings, up to its end."""
    if tunnel.early:
        yield tunnel.early
    while True:
        try:
            data = tunnel.connection.recv(BLOCK)
        except ConnectionError:
            return
        if not data:
            return
        yield data


def copy_output(pieces: Iterable[bytes], *, tty: bool) -> None:
    """Write output to the user: a terminal's as it is, else by its frames to the two standard streams."""
    if tty:
        for piece in pieces:
            _write(sys.stdout.buffer, piece)
        return
    decoder = framing.Decoder()
    for piece in pieces:
        for stream, data in decoder.runs(piece):
            if stream == framing.SYSTEM_ERROR:
                raise Internal(f"error from daemon in stream: {data.decode('utf-8', 'replace')}")
            _write(sys.stderr.buffer if stream == framing.STDERR else sys.stdout.buffer, data)


def _write(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()


def half_close(connection: socket.socket) -> None:
    """Say that nothing more comes from here."""
    with contextlib.suppress(OSError):
        # SSLSocket's own shutdown would end reading too.
        socket.socket.shutdown(connection, socket.SHUT_WR)


class _Typed:
    """Standard input to the connection, in a thread: not every system can wait for both at once."""

    def __init__(self, connection: socket.socket, keys: bytes) -> None:
        self._connection = connection
        self._watch = KeyWatch(keys) if keys else None
        self.detached = False

    def start(self) -> None:
        import threading

        threading.Thread(target=self._run, name="stdin", daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(0, BLOCK):
                if self._watch is not None:
                    data, self.detached = self._watch.scan(data)
                if data:
                    self._connection.sendall(data)
                if self.detached:
                    socket.socket.shutdown(self._connection, socket.SHUT_RDWR)
                    return
        half_close(self._connection)


@contextlib.contextmanager
def forwarded_signals(send: Callable[[str], object]) -> Iterator[None]:
    """Hand the signals that this process receives to ``send`` by name, instead of dying of them."""
    import signal

    # docker: all but those that the kernel sends about this process's own children, pipes and sockets
    own = {"SIGCHLD", "SIGCLD", "SIGPIPE", "SIGURG", "SIGKILL", "SIGSTOP", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL"}
    own |= {"SIGTRAP", "SIGABRT", "SIGIOT", "SIGTTIN", "SIGTTOU", "SIGSYS"}
    before: dict[signal.Signals, object] = {}

    def forward(number: int, _: object) -> None:
        send(signal.Signals(number).name.removeprefix("SIG"))

    for item in signal.Signals:
        if item.name not in own and not item.name.startswith("SIGRT"):
            with contextlib.suppress(OSError, ValueError):
                before[item] = signal.signal(item, forward)
    try:
        yield
    finally:
        for item, handler in before.items():
            signal.signal(item, handler)  # type: ignore[arg-type]
