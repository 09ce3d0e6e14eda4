"""Messages of containerd.services.content.v1.Content: the blobs of a directory that a client shares."""

from __future__ import annotations

from dataclasses import dataclass

from corten.buildkit.wire import Message, blob, integer, string

WRITE, COMMIT = 1, 2


@dataclass(slots=True)
class ReadContentRequest(Message):
    digest: str = string(1)


@dataclass(slots=True)
class ReadContentResponse(Message):
    offset: int = integer(1)
    data: bytes = blob(2)


@dataclass(slots=True)
class WriteContentRequest(Message):
    """A piece of a blob at ``offset``; ``action`` is WRITE or COMMIT."""

    action: int = integer(1)
    ref: str = string(2)
    total: int = integer(3)
    expected: str = string(4)
    offset: int = integer(5)
    data: bytes = blob(6)


@dataclass(slots=True)
class WriteContentResponse(Message):
    offset: int = integer(4)
