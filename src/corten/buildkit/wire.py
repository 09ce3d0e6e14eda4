"""The protobuf wire format, for messages that are dataclasses with numbered fields.

    class Packet(Message):
        id: int = integer(3)

Fields at their default are not written, unknown ones are skipped, as proto3 wants it.  Owns the bytes only; the
messages are in messages/.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Self, cast

from corten.errors import Invalid

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_NUMBER = "buildkit.wire"
_MAX_VARINT = 10
_MAX_DEPTH = 60
_SIGN, _WRAP = 1 << 63, 1 << 64


@dataclass(frozen=True, slots=True)
class Kind:
    """How one field is written: its number, wire type, and the two directions.

    ``repeated`` makes a list of it, ``is_map`` a dictionary with string keys; ``message`` is the class of a nested one.
    """

    number: int
    wire: int
    encode: Callable[[Any], bytes]
    decode: Callable[[Any], Any]
    repeated: bool = False
    is_map: bool = False
    message: Callable[[], type[Message]] | None = None


def varint(value: int) -> bytes:
    """An integer of at most 64 bits; negative ones as two's complement."""
    value &= _WRAP - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: memoryview, at: int) -> tuple[int, int]:
    """The value at ``at``, unsigned, and the place behind it."""
    value = shift = 0
    for position in range(at, min(at + _MAX_VARINT, len(data))):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (_WRAP - 1), position + 1
        shift += 7
    raise Invalid("malformed message: bad varint")


def _signed(value: int) -> int:
    return value - _WRAP if value >= _SIGN else value


def _text(data: memoryview) -> str:
    return str(data, "utf-8", "replace")


def _kind(kind: Kind, default: Callable[[], Any]) -> Any:
    return field(default_factory=default, metadata={_NUMBER: kind})


def string(number: int) -> Any:
    """A string."""
    return _kind(Kind(number, LENGTH, lambda value: value.encode("utf-8", "replace"), _text), str)


def strings(number: int) -> Any:
    """Repeated strings."""
    return _kind(Kind(number, LENGTH, lambda value: value.encode("utf-8", "replace"), _text, repeated=True), list)


def blob(number: int) -> Any:
    """Bytes."""
    return _kind(Kind(number, LENGTH, bytes, bytes), bytes)


def blobs(number: int) -> Any:
    """Repeated bytes."""
    return _kind(Kind(number, LENGTH, bytes, bytes, repeated=True), list)


def integer(number: int) -> Any:
    """An integer of any width, or an enum."""
    return _kind(Kind(number, VARINT, varint, _signed), int)


def boolean(number: int) -> Any:
    """A truth value."""
    return _kind(Kind(number, VARINT, varint, bool), bool)


def nested(number: int, message: Callable[[], type[Message]]) -> Any:
    """A message, or None."""
    return _kind(_nested(number, message), lambda: None)


def messages(number: int, message: Callable[[], type[Message]]) -> Any:
    """Repeated messages."""
    return _kind(_nested(number, message, repeated=True), list)


def _nested(number: int, message: Callable[[], type[Message]], *, repeated: bool = False) -> Kind:
    return Kind(number, LENGTH, lambda value: value.to_bytes(), lambda data: data, repeated=repeated, message=message)


def text_map(number: int) -> Any:
    """A map of strings to strings."""
    return _kind(Kind(number, LENGTH, lambda value: value.encode("utf-8", "replace"), _text, is_map=True), dict)


def blob_map(number: int) -> Any:
    """A map of strings to bytes."""
    return _kind(Kind(number, LENGTH, bytes, bytes, is_map=True), dict)


def message_map(number: int, message: Callable[[], type[Message]]) -> Any:
    """A map of strings to messages."""
    kind = Kind(number, LENGTH, lambda value: value.to_bytes(), lambda data: data, is_map=True, message=message)
    return _kind(kind, dict)


@dataclass(slots=True)
class Message:
    """A protobuf message; its fields are declared with the functions above."""

    def to_bytes(self) -> bytes:
        out = bytearray()
        for name, kind in _kinds(type(self)).values():
            value = getattr(self, name)
            if value is None or (not value and kind.message is None):
                continue
            for item in _items(kind, value):
                out += varint(kind.number << 3 | kind.wire)
                if kind.wire == LENGTH:
                    out += varint(len(item))
                out += item
        return bytes(out)

    @classmethod
    def parse(cls, data: bytes | memoryview) -> Self:
        """Raises Invalid for what is no message."""
        return cast(Self, _parse(cls, memoryview(data), _MAX_DEPTH))


_TABLES: dict[type[Message], dict[int, tuple[str, Kind]]] = {}


def _kinds(message: type[Message]) -> dict[int, tuple[str, Kind]]:
    found = _TABLES.get(message)
    if found is None:
        found = {}
        for each in fields(message):
            kind: Kind = each.metadata[_NUMBER]
            found[kind.number] = (each.name, kind)
        _TABLES[message] = found
    return found


def _items(kind: Kind, value: Any) -> Iterator[bytes]:
    if kind.is_map:
        for key, item in value.items():
            packed = key.encode("utf-8", "replace")
            body = kind.encode(item)
            yield b"\x0a" + varint(len(packed)) + packed + b"\x12" + varint(len(body)) + body
    elif kind.repeated:
        yield from map(kind.encode, value)
    else:
        yield kind.encode(value)


def _parse(cls: type[Message], data: memoryview, depth: int) -> Message:
    if depth == 0:
        raise Invalid("malformed message: nested too deeply")
    message = cls()
    kinds = _kinds(cls)
    for number, wire, value in split(data):
        name, kind = kinds.get(number, ("", None))
        if kind is None:
            continue
        if kind.repeated and kind.wire == VARINT and wire == LENGTH and isinstance(value, memoryview):
            _unpack(getattr(message, name), kind, value)
            continue
        if wire != kind.wire:
            raise Invalid(f"malformed message: field {number} has wire type {wire}")
        _put(message, name, kind, value, depth)
    return message


def _put(message: Message, name: str, kind: Kind, value: int | memoryview, depth: int) -> None:
    def read(raw: int | memoryview) -> Any:
        if kind.message is not None and isinstance(raw, memoryview):
            return _parse(kind.message(), raw, depth - 1)
        return kind.decode(raw)

    if kind.is_map and isinstance(value, memoryview):
        key, item = "", memoryview(b"")
        for number, _, part in split(value):
            if number == 1 and isinstance(part, memoryview):
                key = _text(part)
            elif number == 2 and isinstance(part, memoryview):
                item = part
        getattr(message, name)[key] = read(item)
    elif kind.repeated:
        getattr(message, name).append(read(value))
    else:
        setattr(message, name, read(value))


def _unpack(into: list[Any], kind: Kind, data: memoryview) -> None:
    at = 0
    while at < len(data):
        value, at = read_varint(data, at)
        into.append(kind.decode(value))


def split(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Field number, wire type and raw value of everything in a message."""
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        value: int | memoryview
        if wire == VARINT:
            value, at = read_varint(data, at)
        elif wire == LENGTH:
            length, at = read_varint(data, at)
            value, at = _take(data, at, length)
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
            raw, at = _take(data, at, size)
            value = int(struct.unpack("<Q" if size == 8 else "<I", raw)[0])
        else:
            raise Invalid(f"malformed message: wire type {wire}")
        yield number, wire, value


def _take(data: memoryview, at: int, length: int) -> tuple[memoryview, int]:
    if at + length > len(data):
        raise Invalid("malformed message: cut short")
    return data[at : at + length], at + length
