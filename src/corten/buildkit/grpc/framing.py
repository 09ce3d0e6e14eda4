"""gRPC's frames inside an HTTP/2 stream: a flag, a length, a message.  By pieces, as they come; pure."""

from __future__ import annotations

from corten.buildkit.grpc.status import RESOURCE_EXHAUSTED, UNIMPLEMENTED, RpcFailed

HEAD = 5
LIMIT = 16 << 20


def pack(message: bytes) -> bytes:
    """One frame, not compressed."""
    return b"\0" + len(message).to_bytes(4, "big") + message


class Unpacker:
    """Turns pieces of a stream into messages."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._buffer = bytearray()
        self._limit = limit

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that ``data`` completes.  Raises RpcFailed for what cannot be read."""
        self._buffer += data
        found, at = [], 0
        while len(self._buffer) - at >= HEAD:
            if self._buffer[at]:
                raise RpcFailed("compressed messages are not supported", UNIMPLEMENTED)
            size = int.from_bytes(self._buffer[at + 1 : at + HEAD], "big")
            if size > self._limit:
                raise RpcFailed(f"received message larger than max ({size} vs. {self._limit})", RESOURCE_EXHAUSTED)
            if len(self._buffer) - at - HEAD < size:
                break
            found.append(bytes(self._buffer[at + HEAD : at + HEAD + size]))
            at += HEAD + size
        del self._buffer[:at]
        return found

    @property
    def is_between(self) -> bool:
        """No message is half read."""
        return not self._buffer
