"""Log drivers besides the file: lines sent on to syslog or the journal.

The file is written as ever, bounded, and is what ``docker logs`` reads; a sink is beside it.  A receiver that does not
keep up, or is gone, costs the lines sent to it, never the container: a send waits a tenth of a second at most, then
lines are dropped for a second; what is broken is tried again after five.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any, Protocol

from corten.runtime.logfile import LogFile

_PATIENCE = 0.1
_PAUSE_SECONDS = 1.0
_RETRY_SECONDS = 5.0
_LONGEST = 16 * 1024
_SEVERITY = {"stdout": 6, "stderr": 3}  # informational, error: as dockerd


class Sink(Protocol):
    """Takes one line after another."""

    def send(self, stream: str, line: bytes, *, is_whole: bool) -> None:
        """Raises OSError if it cannot be sent."""

    def close(self) -> None:
        """The container has ended."""


class TeeLog:
    """A log file with a sink beside it; to the streams it is a log file."""

    def __init__(self, file: LogFile, options: Mapping[str, Any]) -> None:
        self._file = file
        self._options = options
        self._sink: Sink | None = None
        self._pending: dict[str, bytes] = {}
        self._broken_until = 0.0
        self.error: OSError | None = None

    def write(self, stream: str, data: bytes) -> None:
        """To the file, and its whole lines to the sink."""
        self._file.write(stream, data)
        self.error = self._file.error or self.error
        data = self._pending.pop(stream, b"") + data
        *lines, rest = data.split(b"\n")
        while len(rest) >= _LONGEST:
            self._send(stream, rest[:_LONGEST], is_whole=False)
            rest = rest[_LONGEST:]
        for line in lines:
            for start in range(0, max(len(line), 1), _LONGEST):
                piece = line[start : start + _LONGEST]
                self._send(stream, piece, is_whole=start + _LONGEST >= len(line))
        if rest:
            self._pending[stream] = rest

    def _send(self, stream: str, line: bytes, *, is_whole: bool) -> None:
        if time.monotonic() < self._broken_until:
            return
        try:
            if self._sink is None:
                self._sink = open_sink(self._options)
            self._sink.send(stream, line, is_whole=is_whole)
        except OSError as failure:
            self.error = failure
            if isinstance(failure, TimeoutError | BlockingIOError):
                self._broken_until = time.monotonic() + _PAUSE_SECONDS  # it is there, and does not keep up
            else:
                self._broken_until = time.monotonic() + _RETRY_SECONDS
                self._forget()

    def _forget(self) -> None:
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def close(self) -> None:
        """What is unfinished is sent as it is."""
        for stream, rest in self._pending.items():
            self._send(stream, rest, is_whole=True)
        self._forget()
        self._file.close()


def open_sink(options: Mapping[str, Any]) -> Sink:
    """By ``kind``; raises OSError."""
    return JournalSink(options) if options["kind"] == "journald" else SyslogSink(options)


class JournalSink:
    """systemd's native protocol: a datagram of fields for each line."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(_PATIENCE)
        self._socket.connect(str(options["address"]))
        fields: dict[str, str] = dict(options["fields"])
        self._fixed = b"".join(_field(name, value.encode()) for name, value in fields.items())

    def send(self, stream: str, line: bytes, *, is_whole: bool) -> None:
        told = [_field("MESSAGE", line), _field("PRIORITY", str(_SEVERITY[stream]).encode()), self._fixed]
        if not is_whole:
            told.append(_field("CONTAINER_PARTIAL_MESSAGE", b"true"))
        self._socket.send(b"".join(told))

    def close(self) -> None:
        self._socket.close()


def _field(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"


class SyslogSink:
    """RFC 3164 or 5424, over a unix socket, UDP or TCP."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        scheme, where = str(options["scheme"]), str(options["address"])
        self._is_stream = scheme in ("tcp", "unix")
        kind = socket.SOCK_STREAM if self._is_stream else socket.SOCK_DGRAM
        if scheme in ("unix", "unixgram"):
            self._socket = socket.socket(socket.AF_UNIX, kind)
            target: Any = where
        else:
            target = (where, int(options["port"]))
            self._socket = socket.socket(socket.AF_INET6 if ":" in where else socket.AF_INET, kind)
        self._socket.settimeout(_PATIENCE)
        try:
            self._socket.connect(target)
        except OSError:
            self._socket.close()
            raise

    def send(self, stream: str, line: bytes, *, is_whole: bool) -> None:
        priority = int(self._options["facility"]) * 8 + _SEVERITY[stream]
        message = f"<{priority}>{self._header()}".encode() + line
        if self._is_stream:
            self._socket.sendall(message + b"\n")
        else:
            self._socket.send(message)

    def _header(self) -> str:
        tag, style, pid = str(self._options["tag"]), str(self._options["format"]), os.getpid()
        now = time.time()
        if style == "":  # the local form: a program and its tag
            return f"{time.strftime('%b %e %H:%M:%S', time.localtime(now))} {tag}[{pid}]: "
        host = socket.gethostname()
        if style == "rfc3164":
            return f"{time.strftime('%b %e %H:%M:%S', time.localtime(now))} {host} {tag}[{pid}]: "
        fraction = f".{int(now % 1 * 1e6):06d}" if style == "rfc5424micro" else ""
        return f"1 {time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}{fraction}Z {host} {tag} {pid} {tag} - "

    def close(self) -> None:
        self._socket.close()
