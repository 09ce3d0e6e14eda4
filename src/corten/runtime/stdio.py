"""The streams of one process: from its pipes or terminal to the log and every attached client, and stdin back.

The promise: no byte is lost, reordered or invented.  A client that does not keep up holds the source back (at most one
chunk waits for each client); one that goes away is forgotten.  Clients of a process without a terminal get Docker's
frames: stream number, three zero bytes, length (big endian), data.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from corten.runtime.logfile import LogFile
from corten.runtime.logsink import TeeLog
from corten.runtime.loop import HANGUP, READ, WRITE, Loop

_CHUNK = 64 * 1024
_NAMES = {1: "stdout", 2: "stderr"}
_F_SETPIPE_SZ = 1031


def make_pipes(*, stdin: bool) -> tuple[list[int], dict[str, int]]:
    """The child's three ends, and ours by name; without stdin the child reads nothing."""
    ends, ours = [], {}
    if stdin:
        read_fd, ours["stdin"] = os.pipe2(os.O_CLOEXEC)
        ends.append(read_fd)
    else:
        ends.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
    for name in _NAMES.values():
        ours[name], write_fd = os.pipe2(os.O_CLOEXEC)
        with contextlib.suppress(OSError):
            fcntl.fcntl(write_fd, _F_SETPIPE_SZ, 4 * _CHUNK)
        ends.append(write_fd)
    return ends, ours


def lend(fds: Sequence[int], uid: int, gid: int = -1) -> None:
    """Make pipes a user's own, so that /dev/stderr can be opened.  Never /dev/null: that is the whole host's."""
    for fd in fds:
        with contextlib.suppress(OSError):
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.fchown(fd, uid, gid)


def wanted(body: Mapping[str, Any]) -> set[int]:
    """The numbers of the streams that a client asks for."""
    return {number for number, name in _NAMES.items() if body.get(name)}


class Stdio:
    """Sources, sink and clients of one process.  Clients may come before the process does."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.terminal = False
        self.clients: list[Client] = []
        self.sink: Sink | None = None
        self.on_drained: Callable[[], None] | None = None
        self.log: LogFile | TeeLog | None = None
        self._sources: dict[int, int] = {}  # descriptor: stream number
        self._paused = False
        self.is_open = False

    # -- opening -----------------------------------------------------------------------------------------------

    def open_pipes(self, *, stdin: bool, close_on_eof: bool) -> list[int]:
        """New pipes; the child's three ends, for the caller to close after the fork."""
        ends, ours = make_pipes(stdin=stdin)
        self.take_pipes(ours, close_on_eof=close_on_eof)
        return ends

    def take_pipes(self, ours: Mapping[str, int], *, close_on_eof: bool) -> None:
        """Our ends of pipes that ``make_pipes`` made."""
        self.is_open = True
        if "stdin" in ours:
            self.sink = Sink(self, ours["stdin"], close_on_eof=close_on_eof)
        for number, name in _NAMES.items():
            self._watch(ours[name], number)
        self.refresh_clients()

    def open_terminal(self, master_fd: int, *, stdin: bool) -> None:
        """Take the master's end."""
        self.is_open = True
        self.terminal = True
        if stdin:
            # A descriptor of its own: epoll knows each only once, and reading and writing pause apart.
            self.sink = Sink(self, os.dup(master_fd), close_on_eof=False)
        self._watch(master_fd, 1)
        self.refresh_clients()

    def _watch(self, fd: int, number: int) -> None:
        os.set_blocking(fd, False)
        self._sources[fd] = number

        def handle(events: int) -> None:
            self._readable(fd)

        self.loop.add(fd, READ, handle)

    @property
    def master_fd(self) -> int:
        """The terminal's master; -1 without or after its end."""
        return next(iter(self._sources), -1) if self.terminal else -1

    # -- output ------------------------------------------------------------------------------------------------

    def _readable(self, fd: int) -> bool:
        """Pass one chunk on; false if there is none now."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""  # EIO: the last slave of a terminal is closed
        if not data:
            self._ended(fd)
            return False
        number = self._sources[fd]
        if self.log:
            self.log.write(_NAMES[number], data)
        chunk = data if self.terminal else struct.pack(">BxxxL", number, len(data)) + data
        for client in list(self.clients):
            if number in client.wants:
                client.send(chunk)
        if any(client.pending for client in self.clients):
            self._pause()
        return True

    def _ended(self, fd: int) -> None:
        self.loop.remove(fd)
        os.close(fd)
        del self._sources[fd]
        if not self._sources:
            self.settle()

    def _pause(self) -> None:
        # Removed, not muted: a hangup cannot be muted and would spin.
        if not self._paused:
            self._paused = True
            for fd in self._sources:
                self.loop.remove(fd)

    def resume(self) -> None:
        """A client has caught up; read on if all have."""
        if self._paused and not any(client.pending for client in self.clients):
            self._paused = False
            for fd, number in list(self._sources.items()):
                del self._sources[fd]
                self._watch(fd, number)
        self.settle()

    @property
    def is_drained(self) -> bool:
        """Nothing more will come and every client has had everything."""
        return self.is_open and not self._sources and not any(client.pending for client in self.clients)

    @property
    def is_held_back(self) -> bool:
        """A slow client keeps us from reading."""
        return self._paused

    def drain_now(self) -> None:
        """Read what is there without waiting."""
        for fd in list(self._sources):
            while fd in self._sources and not self._paused and self._readable(fd):
                pass

    def settle(self) -> None:
        """Tell when all is said."""
        if self.is_drained and self.on_drained:
            call, self.on_drained = self.on_drained, None
            call()

    def close_clients(self) -> None:
        """The end of output for everyone who is attached; what a client has not read yet it still gets."""
        for client in list(self.clients):
            client.finish()

    def close(self) -> None:
        """Everything, at once."""
        for client in list(self.clients):
            client.close()
        for fd in list(self._sources):
            self.loop.remove(fd)
            os.close(fd)
        self._sources = {}
        if self.sink:
            self.sink.close()

    # -- clients -----------------------------------------------------------------------------------------------

    def attach(self, sock: socket.socket, wants: set[int], *, stdin: bool) -> None:
        """A new client, from this moment on."""
        self.clients.append(Client(self, sock, wants, stdin=stdin))

    def refresh_clients(self) -> None:
        for client in list(self.clients):
            client.refresh()


class Sink:
    """The process's stdin: a pipe, or the terminal's master."""

    def __init__(self, stdio: Stdio, fd: int, *, close_on_eof: bool) -> None:
        self._stdio = stdio
        self._fd = fd
        self._pending = b""
        self._close_on_eof = close_on_eof
        self._ending = False
        os.set_blocking(fd, False)

    @property
    def is_ready(self) -> bool:
        """Whether more may be written."""
        return self._fd >= 0 and not self._pending

    @property
    def is_closed(self) -> bool:
        """Whether nobody will read any more."""
        return self._fd < 0 or self._ending

    def write(self, data: bytes) -> None:
        """Write, or keep what does not fit."""
        try:
            written = os.write(self._fd, data)
        except BlockingIOError:
            written = 0
        except OSError:
            self.close()  # the process has closed its stdin
            return
        if written < len(data):
            self._pending = data[written:]
            if not self._stdio.loop.watches(self._fd):
                self._stdio.loop.add(self._fd, WRITE, self._writable)

    def _writable(self, events: int) -> None:
        data, self._pending = self._pending, b""
        self.write(data)
        if self._pending or self._fd < 0:
            return
        self._stdio.loop.remove(self._fd)
        if self._ending:
            self.close()
        self._stdio.refresh_clients()

    def end(self) -> None:
        """A client has no more; whether that is the end for the process depends on how it was started."""
        if self._close_on_eof and self._fd >= 0:
            self._ending = True
            if not self._pending:
                self.close()

    def close(self) -> None:
        """Close; what is still pending has no reader."""
        fd, self._fd, self._pending = self._fd, -1, b""
        if fd >= 0:
            self._stdio.loop.remove(fd)
            os.close(fd)
            self._stdio.refresh_clients()


class Client:
    """One attached stream socket."""

    def __init__(self, stdio: Stdio, sock: socket.socket, wants: set[int], *, stdin: bool) -> None:
        self.wants = wants
        self.pending = b""
        self._stdio = stdio
        self._sock = sock
        self._stdin = stdin
        self._finishing = False
        sock.setblocking(False)
        self._events = -1
        self.refresh()

    def _wanted_events(self) -> int:
        events = WRITE if self.pending else 0
        sink = self._stdio.sink
        if self._stdin and sink and sink.is_ready:
            events |= READ
        return events

    def refresh(self) -> None:
        """Watch for what we can take now."""
        if self._sock.fileno() < 0:
            return
        if (self._stdio.sink is None and self._stdio.is_open) or (self._stdio.sink and self._stdio.sink.is_closed):
            self._stdin = False
        events = self._wanted_events()
        if not self._stdio.loop.watches(self._sock.fileno()):
            self._stdio.loop.add(self._sock.fileno(), events, self._handle)
        elif events != self._events:
            self._stdio.loop.change(self._sock.fileno(), events)
        self._events = events

    def _handle(self, events: int) -> None:
        if events & WRITE and self.pending:
            data, self.pending = self.pending, b""
            self.send(data)
            if not self.pending:
                self._stdio.resume()
                if self._finishing:
                    self.close()
                    return
        if self._sock.fileno() < 0:
            return
        if events & (READ | HANGUP) and self._stdin:
            sink = self._stdio.sink
            if sink is None or not sink.is_ready:
                # Gone, but its last words are still to be passed on: look again when stdin takes more.
                self._stdio.loop.remove(self._sock.fileno())
                return
            self._take(sink, events)
            return
        if events & HANGUP:
            self.close()
            return
        self.refresh()

    def _take(self, sink: Sink, events: int) -> None:
        try:
            data = self._sock.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            sink.write(data)
        else:
            self._stdin = False
            sink.end()
            if events & HANGUP:
                self.close()
                return
        self._stdio.refresh_clients()

    def send(self, data: bytes) -> None:
        """Send, or keep what does not fit; the caller must not send again before that is gone."""
        try:
            sent = self._sock.send(data, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        self.pending = data[sent:] if sent < len(data) else b""
        self.refresh()

    def finish(self) -> None:
        """No more output: close as soon as everything is sent."""
        if self.pending:
            self._finishing = True
        else:
            self.close()

    def close(self) -> None:
        """Forget the client."""
        self.pending = b""
        if self._sock.fileno() >= 0:
            self._stdio.loop.remove(self._sock.fileno())
            if self._stdin and self._stdio.sink:
                self._stdin = False
                self._stdio.sink.end()
            self._sock.close()
        if self in self._stdio.clients:
            self._stdio.clients.remove(self)
            self._stdio.resume()
