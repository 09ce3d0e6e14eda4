"""Messages of what a client serves in its session: files, credentials, secrets, ssh agents."""

from __future__ import annotations

from dataclasses import dataclass

from corten.buildkit.wire import Message, blob, blob_map, integer, nested, string, text_map

STAT, REQ, DATA, FIN, ERR = range(5)


@dataclass(slots=True)
class Stat(Message):
    """A file's metadata; ``mode`` has Go's bits (filesync/modes.py)."""

    path: str = string(1)
    mode: int = integer(2)
    uid: int = integer(3)
    gid: int = integer(4)
    size: int = integer(5)
    mod_time: int = integer(6)
    linkname: str = string(7)
    devmajor: int = integer(8)
    devminor: int = integer(9)
    xattrs: dict[str, bytes] = blob_map(10)


@dataclass(slots=True)
class Packet(Message):
    """One piece of a transfer; ``type`` is STAT, REQ, DATA, FIN or ERR."""

    type: int = integer(1)
    stat: Stat | None = nested(2, lambda: Stat)
    id: int = integer(3)
    data: bytes = blob(4)


@dataclass(slots=True)
class Bytes(Message):
    """A piece of a stream."""

    data: bytes = blob(1)


@dataclass(slots=True)
class CredentialsRequest(Message):
    host: str = string(1)


@dataclass(slots=True)
class CredentialsResponse(Message):
    username: str = string(1)
    secret: str = string(2)


@dataclass(slots=True)
class SecretRequest(Message):
    id: str = string(1)
    annotations: dict[str, str] = text_map(2)


@dataclass(slots=True)
class SecretResponse(Message):
    data: bytes = blob(1)


@dataclass(slots=True)
class AgentRequest(Message):
    id: str = string(1)


@dataclass(slots=True)
class Empty(Message):
    """A message without fields."""
