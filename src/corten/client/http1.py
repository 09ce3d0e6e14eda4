"""HTTP/1.1 as a client reads and writes it, without I/O.

Owns: the bytes of a request head, and a parser that is fed pieces of any size and gives the head and then the body
of one response: none, a length, chunks, up to the end, or a tunnel after ``101`` (RFC 9112 section 6.3).
Never touches a socket; for that read session.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from corten.errors import Unavailable

MAX_HEAD = 256 * 1024
MAX_CHUNK_LINE = 8192


class Head(NamedTuple):
    """Status line and header fields; names in lower case."""

    status: int
    reason: str
    headers: Mapping[str, str]


class Malformed(Unavailable):
    """What answered does not speak HTTP."""

    def __init__(self, what: str) -> None:
        super().__init__(f"malformed HTTP response: {what}")


def request_head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """The first line and the fields of a request."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise Malformed("line break in a header that was to be sent")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def chunk(data: bytes) -> bytes:
    """One chunk of a body whose length is not known; empty data ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


_HEAD, _LENGTH, _SIZE, _DATA, _AFTER_DATA, _TRAILER, _UNTIL_EOF, _TUNNEL, _DONE = range(9)


class ResponseParser:
    """Bytes in; ``head``, then pieces of the body out of ``take``.

    A position moves through what was fed: cutting the buffer at each of a thousand small chunks would copy it as often.
    """

    def __init__(self, method: str, *, hijack: bool = False) -> None:
        self.head: Head | None = None
        self._method = method
        self._hijack = hijack
        self._buffer = b""
        self._at = 0
        self._pieces: list[bytes] = []
        self._left = 0
        self._state = _HEAD

    @property
    def is_done(self) -> bool:
        """True when the whole response has been read."""
        return self._state == _DONE

    @property
    def is_tunnel(self) -> bool:
        """True when the rest of the connection belongs to the two ends."""
        return self._state == _TUNNEL

    @property
    def reusable(self) -> bool:
        """True when the connection can carry another request."""
        if not self.is_done or self.head is None or self._buffer:
            return False
        return self.head.headers.get("connection", "").lower() != "close"

    def take(self) -> list[bytes]:
        """The pieces of body that have come since the last call."""
        pieces, self._pieces = self._pieces, []
        return pieces

    def feed(self, data: bytes) -> None:
        """Read more bytes; raises Malformed."""
        self._buffer = self._buffer + data if self._buffer else data
        while self._at < len(self._buffer) and self._state != _DONE:
            if not self._step():
                break
        self._buffer = self._buffer[self._at :]
        self._at = 0

    def end(self) -> None:
        """The other side closed; raises Malformed in the middle of a response."""
        if self._state in (_UNTIL_EOF, _TUNNEL):
            self._state = _DONE
        elif self._state != _DONE:
            raise Malformed("unexpected EOF")

    def _step(self) -> bool:
        """Go on by one element; False where it is not complete yet."""
        if self._state in (_LENGTH, _DATA):
            self._read_counted()
            return True
        if self._state in (_SIZE, _AFTER_DATA, _TRAILER):
            return self._read_line()
        if self._state == _HEAD:
            return self._read_head()
        self._pieces.append(self._buffer[self._at :])
        self._at = len(self._buffer)
        return True

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n", self._at)
        if end < 0:
            start = self._buffer[self._at :]
            if len(start) > MAX_HEAD:
                raise Malformed("header too long")
            if not b"HTTP/".startswith(start[:5]):
                raise Malformed(repr(start[:40]))
            return False
        head = parse_head(self._buffer[self._at : end])
        self._at = end + 4
        if 100 <= head.status < 200 and head.status != 101:
            return True  # an interim answer; the real one follows
        self.head = head
        self._begin_body(head)
        return True

    def _begin_body(self, head: Head) -> None:
        if head.status == 101 or (self._hijack and head.status == 200):
            self._state = _TUNNEL
        elif self._method == "HEAD" or head.status in (204, 304):
            self._state = _DONE
        elif "chunked" in head.headers.get("transfer-encoding", "").lower():
            self._state = _SIZE
        elif "content-length" in head.headers:
            length = head.headers["content-length"]
            if not (length.isascii() and length.isdecimal()):
                raise Malformed(f"content-length {length[:20]!r}")
            self._left = int(length)
            self._state = _LENGTH if self._left else _DONE
        else:
            self._state = _UNTIL_EOF

    def _read_counted(self) -> None:
        piece = self._buffer[self._at : self._at + self._left]
        self._at += len(piece)
        self._pieces.append(piece)
        self._left -= len(piece)
        if not self._left:
            self._state = _DONE if self._state == _LENGTH else _AFTER_DATA

    def _read_line(self) -> bool:
        end = self._buffer.find(b"\r\n", self._at)
        if end < 0:
            if len(self._buffer) - self._at > MAX_CHUNK_LINE:
                raise Malformed("chunk header too long")
            return False
        line = self._buffer[self._at : end]
        self._at = end + 2
        if self._state == _AFTER_DATA:
            if line:
                raise Malformed("chunk longer than it said")
            self._state = _SIZE
        elif self._state == _TRAILER:
            if not line:
                self._state = _DONE
        else:
            self._left = _chunk_size(line)
            self._state = _DATA if self._left else _TRAILER
        return True


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    # int() alone would take "+1", "-1", "1_0" and "0x1"
    if not digits or digits.strip(b"0123456789abcdefABCDEF"):
        raise Malformed(f"chunk size {line[:20]!r}")
    return int(digits, 16)


def parse_head(data: bytes) -> Head:
    """The lines before the empty line; raises Malformed."""
    lines = data.decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    status, _, reason = rest.partition(" ")
    if not version.startswith("HTTP/1.") or not status.isdecimal() or len(status) != 3:
        raise Malformed(lines[0][:60])
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise Malformed(f"header {line[:60]!r}")
        headers[name.strip().lower()] = value.strip()
    return Head(int(status), reason, headers)
