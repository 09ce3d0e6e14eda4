"""The json-file log: lines in, JSON lines out, rotation and compression.

    log        the current file
    log.1      the one before (log.1.gz when compressed), log.2 …; the oldest beyond the allowed number goes

A line longer than 16 KiB is kept in pieces, as Docker does; a piece without a final newline tells the reader so.
Reading back is supervisor/logs.py.  A full disk costs log lines, never the container.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import time
from json.encoder import encode_basestring

from corten.kernel import process

_PIECE = 16 * 1024


class LogFile:
    """The writing end.  Lines of one ``write`` carry one time."""

    def __init__(
        self,
        path: str,
        *,
        fd: int = -1,
        max_size: int = 0,
        max_file: int = 1,
        compress: bool = False,
        attrs: dict[str, str] | None = None,
    ) -> None:
        self.path = path
        self.error: OSError | None = None
        self._max_size = max_size
        self._max_file = max(max_file, 1)
        self._compress = compress
        self._attrs = f',"attrs":{json.dumps(attrs, separators=(",", ":"))}' if attrs else ""
        self._pending: dict[str, bytes] = {}
        self._second = (0, "")
        self._compressor = 0
        self._fd = fd if fd >= 0 else self._open()
        self._size = os.fstat(self._fd).st_size

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)

    def write(self, stream: str, data: bytes) -> None:
        """Append what a stream said; an unfinished line waits for its end."""
        pending = self._pending.pop(stream, b"")
        if pending:
            data = pending + data
        end = data.rfind(b"\n") + 1
        rest = data[end:]
        pieces = []
        while len(rest) >= _PIECE:
            cut = _boundary(rest, _PIECE)
            pieces.append(rest[:cut])
            rest = rest[cut:]
        if rest:
            self._pending[stream] = rest
        if end or pieces:
            self._append(self._encode(stream, data[:end], pieces))

    def close(self) -> None:
        """Write unfinished lines and close."""
        for stream, rest in self._pending.items():
            self._append(self._encode(stream, b"", [rest]))
        self._pending = {}
        os.close(self._fd)
        if self._compressor:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._compressor, 0)

    def _encode(self, stream: str, lines: bytes, pieces: list[bytes]) -> bytes:
        tail = f',"stream":"{stream}"{self._attrs},"time":"{self._now()}"}}\n'
        text = ""
        if lines:
            if b"\\" not in lines and (len(lines) <= _PIECE or max(map(len, lines.split(b"\n"))) < _PIECE):
                # One pass in C for all lines: no backslash, so every \n in the JSON text is a line's end.
                quoted = encode_basestring(lines.decode(errors="replace"))
                body = quoted[1:-1].replace("\\n", f'\\n"{tail}{{"log":"')
                text = '{"log":"' + body[: -len('{"log":"')]
            else:
                pieces = _parts(lines) + pieces
        entries = [f'{{"log":{encode_basestring(piece.decode(errors="replace"))}{tail}' for piece in pieces]
        return (text + "".join(entries)).encode()

    def _now(self) -> str:
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        if seconds != self._second[0]:
            self._second = (seconds, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)))
        return f"{self._second[1]}.{nanoseconds:09d}Z"

    def _append(self, data: bytes) -> None:
        try:
            if self._max_size and self._size and self._size + len(data) > self._max_size:
                self._rotate()
            view = memoryview(data)
            while view:
                written = os.write(self._fd, view)
                self._size += written
                view = view[written:]
        except OSError as failure:
            self.error = failure

    def _rotate(self) -> None:
        if self._max_file == 1:
            os.ftruncate(self._fd, 0)
            self._size = 0
            return
        if self._compressor:
            # Numbers must not shift under the compressor; it is nearly always done by now.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._compressor, 0)
            self._compressor = 0
        for number in range(self._max_file - 1, 1, -1):
            for suffix in ("", ".gz"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{self.path}.{number}{suffix}")
                with contextlib.suppress(FileNotFoundError):
                    os.rename(f"{self.path}.{number - 1}{suffix}", f"{self.path}.{number}{suffix}")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.path}.1.gz")
        os.rename(self.path, f"{self.path}.1")
        os.close(self._fd)
        self._fd = self._open()
        self._size = 0
        if self._compress:
            self._compressor = _compress_aside(f"{self.path}.1")


def _parts(lines: bytes) -> list[bytes]:
    """Each line with its end, long ones in pieces."""
    parts = []
    for line in lines.split(b"\n")[:-1]:
        line += b"\n"
        while len(line) > _PIECE:
            cut = _boundary(line, _PIECE)
            parts.append(line[:cut])
            line = line[cut:]
        parts.append(line)
    return parts


def _boundary(data: bytes, limit: int) -> int:
    """The largest cut up to ``limit`` that does not part a UTF-8 sequence."""
    for cut in range(limit, limit - 4, -1):
        if cut >= len(data) or data[cut] & 0xC0 != 0x80:
            return cut
    return limit


def _compress_aside(path: str) -> int:
    """Compress in a child, so that the streams are not held up."""
    pid = os.fork()
    if pid:
        return pid
    try:
        process.close_all_but(set())
        os.nice(10)
        part = f"{path}.gz.part"
        with open(path, "rb") as plain, gzip.open(part, "wb", compresslevel=3) as packed:
            shutil.copyfileobj(plain, packed, 1 << 20)
        os.rename(part, f"{path}.gz")
        os.unlink(path)
    finally:
        os._exit(0)
