"""JSON messages with descriptors over a sequenced-packet unix socket.

One message is one datagram: it arrives whole or not at all.  Descriptors that come with a message belong to the
``Message`` and are closed with it unless taken.  A body that is too large for a datagram travels in a memory file.
Knows nothing of what the messages mean; read runtime/protocol.py for that.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Any

_INLINE_LIMIT = 64 * 1024
_MAX_FDS = 64
_LARGE = b"\0"  # no JSON text starts with this byte
_encode = json.JSONEncoder(separators=(",", ":")).encode


class Message:
    """A body and the descriptors that came with it.  Descriptors not taken are closed with the message."""

    def __init__(self, body: dict[str, Any], fds: Sequence[int] = ()) -> None:
        self.body = body
        self._fds: list[int | None] = list(fds)

    def take(self, index: int = 0) -> int:
        """Make one descriptor the caller's own."""
        fd = self._fds[index] if index < len(self._fds) else None
        if fd is None:
            raise ValueError(f"message has no descriptor {index}")
        self._fds[index] = None
        return fd

    @property
    def fds(self) -> list[int]:
        """Those that have not been taken; still the message's."""
        return [fd for fd in self._fds if fd is not None]

    @property
    def fd_count(self) -> int:
        """How many descriptors came."""
        return len(self._fds)

    def close(self) -> None:
        """Close what was not taken."""
        for fd in self._fds:
            if fd is not None:
                os.close(fd)
        self._fds = []

    def __enter__(self) -> Message:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def encode(body: dict[str, Any]) -> bytes:
    """The bytes of one message."""
    return _encode(body).encode()


def send(sock: socket.socket, body: dict[str, Any], fds: Sequence[int] = ()) -> None:
    """Send one message.  BlockingIOError if the socket does not block and is full; BrokenPipeError if nobody reads."""
    data = encode(body)
    if len(data) <= _INLINE_LIMIT:
        _send(sock, data, list(fds))
        return
    memory_fd = os.memfd_create("corten-message", os.MFD_CLOEXEC)
    try:
        with open(memory_fd, "wb", closefd=False) as stream:
            stream.write(data)
        _send(sock, _LARGE, [memory_fd, *fds])
    finally:
        os.close(memory_fd)


def _send(sock: socket.socket, data: bytes, fds: list[int]) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())] if fds else []
    sock.sendmsg([data], rights, socket.MSG_NOSIGNAL)


def receive(sock: socket.socket) -> Message | None:
    """The next message, or None when the other end is closed."""
    fds: list[int] = []
    data, ancillary = _receive(sock)
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds += array.array("i", payload[: len(payload) - len(payload) % 4])
    if not data:
        _close_all(fds)
        return None
    try:
        if data == _LARGE:
            data = _read_memory(fds.pop(0))
        return Message(json.loads(data), fds)
    except (ValueError, IndexError):
        _close_all(fds)
        raise


def _receive(sock: socket.socket) -> tuple[bytes, list[tuple[int, int, bytes]]]:
    space = socket.CMSG_SPACE(_MAX_FDS * 4)
    try:
        return sock.recvmsg(_INLINE_LIMIT + 1, space, socket.MSG_CMSG_CLOEXEC)[:2]
    except ConnectionResetError:
        # The other end was closed before it had read all that we said.  That is told first, and only once: its own
        # last words are still there.
        return sock.recvmsg(_INLINE_LIMIT + 1, space, socket.MSG_CMSG_CLOEXEC)[:2]


def _read_memory(fd: int) -> bytes:
    with open(fd, "rb") as stream:
        stream.seek(0)
        return stream.read()


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
