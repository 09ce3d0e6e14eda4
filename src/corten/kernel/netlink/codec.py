"""Netlink messages and attributes, bytes to values and back.

Owns: the framing of netlink(7): message headers, attributes, acknowledgements.  Knows nothing of what a message is
about (``route.py``, ``netfilter.py``) and does no I/O (``socket.py``).

    message:    length u32 | type u16 | flags u16 | sequence u32 | port u32 | body …, padded to 4
    attribute:  length u16 | type u16 | payload …, padded to 4
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# linux/netlink.h
NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12
NLMSG_NOOP = 1
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_REQUEST = 0x001
NLM_F_MULTI = 0x002
NLM_F_ACK = 0x004
NLM_F_DUMP_INTR = 0x010
NLM_F_ACK_TLVS = 0x200
NLM_F_CAPPED = 0x100
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800
NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF
NLMSGERR_ATTR_MSG = 1

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERRNO = struct.Struct("=i")
MAX_ATTRIBUTE = 0xFFFF - _ATTRIBUTE.size


@dataclass(frozen=True, slots=True)
class Request:
    """One message to send; the socket adds sequence numbers.  ``body`` starts with the family's fixed header."""

    type: int
    flags: int
    body: bytes
    what: str = ""  # for error messages: "create link br0"

    def encode(self, sequence: int) -> bytes:
        length = _HEADER.size + len(self.body)
        flags = self.flags | NLM_F_REQUEST
        return _HEADER.pack(length, self.type, flags, sequence, 0) + self.body + bytes(-length % 4)


@dataclass(frozen=True, slots=True)
class Message:
    """One message as received."""

    type: int
    flags: int
    sequence: int
    port: int
    body: bytes

    @property
    def error(self) -> int:
        """The errno of an acknowledgement, 0 for success."""
        return -_ERRNO.unpack_from(self.body)[0] if self.type == NLMSG_ERROR and len(self.body) >= 4 else 0

    @property
    def explanation(self) -> str:
        """The kernel's words of an extended acknowledgement, where it gave any."""
        if self.type != NLMSG_ERROR or not self.flags & NLM_F_ACK_TLVS or len(self.body) < 20:
            return ""
        (length,) = struct.unpack_from("=I", self.body, 4)
        skip = 4 + (_HEADER.size if self.flags & NLM_F_CAPPED else length + -length % 4)
        return text(Attributes(self.body[skip:]).get(NLMSGERR_ATTR_MSG, b""))


def attribute(kind: int, payload: bytes = b"") -> bytes:
    """Encode one attribute, padded."""
    if len(payload) > MAX_ATTRIBUTE:
        raise ValueError(f"netlink attribute {kind} of {len(payload)} bytes is too long")
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + bytes(-length % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    """Encode an attribute that holds encoded attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(parts))


def u8(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=B", value))


def u16(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=H", value))


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def be32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def be64(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">Q", value))


def string(kind: int, value: str) -> bytes:
    return attribute(kind, os.fsencode(value) + b"\0")


def text(payload: bytes) -> str:
    """Read a zero-terminated string."""
    return os.fsdecode(payload.split(b"\0", 1)[0])


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (type, payload) of encoded attributes; stops quietly at a malformed one, as the kernel's own readers do."""
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size or offset + length > len(data):
            return
        yield kind & NLA_TYPE_MASK, data[offset + _ATTRIBUTE.size : offset + length]
        offset += length + -length % 4


class Attributes(dict[int, bytes]):
    """Decoded attributes by type (the last one of a type wins), with readers for the usual payloads."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(attributes(data))

    def number(self, kind: int, default: int = 0) -> int:
        """An integer in the host's order, of whatever width was sent."""
        payload = self.get(kind)
        return int.from_bytes(payload, sys.byteorder) if payload is not None else default

    def big(self, kind: int, default: int = 0) -> int:
        """An integer in network order."""
        payload = self.get(kind)
        return int.from_bytes(payload, "big") if payload is not None else default

    def text(self, kind: int, default: str = "") -> str:
        payload = self.get(kind)
        return text(payload) if payload is not None else default

    def inner(self, kind: int) -> Attributes:
        return Attributes(self.get(kind, b""))


def messages(data: bytes) -> Iterator[Message]:
    """Yield the messages of one datagram; stops quietly at a truncated one."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, port = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            return
        yield Message(kind, flags, sequence, port, data[offset + _HEADER.size : offset + length])
        offset += length + -length % 4


def encode(requests: Iterable[Request], first_sequence: int) -> bytes:
    """Encode requests for one send, numbered from ``first_sequence``."""
    return b"".join(request.encode(first_sequence + index) for index, request in enumerate(requests))
