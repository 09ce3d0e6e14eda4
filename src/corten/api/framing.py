"""Docker's multiplexed stream: 8-byte header (stream, three zeros, big-endian length), then the bytes.

Owns: bytes into frames and back.  No I/O: feed it pieces of any size and it gives whole frames.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from corten.errors import Invalid

STDIN, STDOUT, STDERR, SYSTEM_ERROR = 0, 1, 2, 3
NAMES = {STDIN: "stdin", STDOUT: "stdout", STDERR: "stderr"}

_HEADER = struct.Struct(">BxxxL")
HEADER_SIZE = _HEADER.size


class Frame(NamedTuple):
    """A piece of output and the stream that it came from.  (A dataclass would cost the client 18 ms at each start.)"""

    stream: int
    data: bytes


def encode(stream: int, data: bytes) -> bytes:
    """One frame as bytes."""
    return _HEADER.pack(stream, len(data)) + data


class Decoder:
    """Pieces in, frames out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete; raises Invalid at a header that cannot be one."""
        self._buffer += data
        frames: list[Frame] = []
        position = 0
        while len(self._buffer) - position >= HEADER_SIZE:
            stream, length = _HEADER.unpack_from(self._buffer, position)
            if stream > SYSTEM_ERROR:
                raise Invalid(f"unrecognized stream: {stream}")
            end = position + HEADER_SIZE + length
            if len(self._buffer) < end:
                break
            frames.append(Frame(stream, bytes(self._buffer[position + HEADER_SIZE : end])))
            position = end
        del self._buffer[:position]
        return frames

    def runs(self, data: bytes) -> list[tuple[int, bytes]]:
        """As ``feed``, with neighbouring frames of one stream joined: what a client writes out in one go."""
        buffer = bytes(self._buffer) + data if self._buffer else data
        found: list[tuple[int, list[bytes]]] = []
        position, end_of_data = 0, len(buffer)
        while end_of_data - position >= HEADER_SIZE:
            stream, length = _HEADER.unpack_from(buffer, position)
            if stream > SYSTEM_ERROR:
                raise Invalid(f"unrecognized stream: {stream}")
            end = position + HEADER_SIZE + length
            if end_of_data < end:
                break
            if not found or found[-1][0] != stream:
                found.append((stream, []))
            found[-1][1].append(buffer[position + HEADER_SIZE : end])
            position = end
        self._buffer = bytearray(buffer[position:])
        return [(stream, b"".join(pieces)) for stream, pieces in found]

    @property
    def is_empty(self) -> bool:
        """True when no frame is half read."""
        return not self._buffer
