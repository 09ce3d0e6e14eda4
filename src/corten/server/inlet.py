"""What a client types on its way to a container, on a descriptor of its own.

A transport of asyncio that cannot write closes, and drops what it has not read yet: the last output of a process that
was done with its input.  So input does not go through the transport that reads the output.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable


class Inlet:
    """Sends to one container.  ``throttle`` is told whether no more is wanted for now: for good, once nobody reads."""

    def __init__(self, sock: socket.socket, throttle: Callable[[bool], None]) -> None:
        self._sock = sock
        self._throttle = throttle
        self._pending = bytearray()
        self._is_ending = self._is_broken = False

    def write(self, data: bytes) -> None:
        """Send, or keep what does not fit."""
        if self._is_broken:
            return
        if self._pending:
            self._pending += data
            return
        sent = self._send(data)
        if sent < len(data) and not self._is_broken:
            self._pending += data[sent:]
            asyncio.get_running_loop().add_writer(self._sock, self._writable)
            self._throttle(True)

    def end(self) -> None:
        """No more comes."""
        self._is_ending = True
        if not self._pending and not self._is_broken:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """The container's side is gone."""
        self._break()
        self._sock.close()

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0
        except OSError:  # the process, or its reading, has ended
            self._break()
            self._throttle(True)
            return 0

    def _writable(self) -> None:
        del self._pending[: self._send(self._pending)]
        if self._pending or self._is_broken:
            return
        asyncio.get_running_loop().remove_writer(self._sock)
        self._throttle(False)
        if self._is_ending:
            self.end()

    def _break(self) -> None:
        if self._pending:
            asyncio.get_running_loop().remove_writer(self._sock)
        self._pending.clear()
        self._is_broken = True
