"""DNS messages and the names of containers: pure.

Owns: as much of RFC 1035 as a server for addresses needs (``Question``, ``parse_query``, ``reply``), and ``Zone``, the
table that answers for one container.  No I/O: ``resolver.py`` receives, sends and forwards.

    message:   id | flags | counts of questions, answers, authorities, additionals | questions … | records …
    question:  name | type | class          name: length, label, …, 0
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from corten.network.model import Endpoint, IPAddress

TYPE_A, TYPE_CNAME, TYPE_PTR, TYPE_AAAA, TYPE_OPT, TYPE_ANY = 1, 5, 12, 28, 41, 255
CLASS_IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
FLAG_QR, FLAG_AA, FLAG_TC, FLAG_RD, FLAG_RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
OPCODE_MASK = 0x7800
UDP_SIZE = 512
TTL = 600  # docker: ten minutes
_HEADER = struct.Struct(">HHHHHH")
_QUESTION = struct.Struct(">HH")
_POINTER_TO_QUESTION = b"\xc0\x0c"


class Malformed(ValueError):
    """Not a DNS query that can be answered."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a query asks.  ``name`` is in lower case, without the final dot; ``wire`` is the question as it came."""

    id: int
    flags: int
    name: str
    type: int
    klass: int
    wire: bytes
    udp_size: int = UDP_SIZE

    @property
    def is_standard(self) -> bool:
        return not self.flags & OPCODE_MASK


def parse_query(data: bytes) -> Question:
    """Read a query with one question; raises Malformed."""
    if len(data) < _HEADER.size:
        raise Malformed("too short")
    identity, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(data)
    if flags & FLAG_QR or questions != 1:
        raise Malformed("not a query with one question")
    name, end = _read_name(data, _HEADER.size)
    if end + _QUESTION.size > len(data):
        raise Malformed("the question is cut off")
    kind, klass = _QUESTION.unpack_from(data, end)
    end += _QUESTION.size
    size = UDP_SIZE
    if additionals and not answers and not authorities:
        size = _udp_size(data, end)
    return Question(identity, flags, name, kind, klass, data[_HEADER.size : end], size)


def _read_name(data: bytes, offset: int) -> tuple[str, int]:
    labels: list[str] = []
    total = 0
    while True:
        if offset >= len(data):
            raise Malformed("the name is cut off")
        length = data[offset]
        offset += 1
        if length == 0:
            return ".".join(labels), offset
        if length > 63:  # a question has nothing before it that a pointer could point to
            raise Malformed("a label of more than 63 bytes")
        total += length + 1
        if offset + length > len(data) or total > 254:
            raise Malformed("the name is cut off or too long")
        labels.append(data[offset : offset + length].decode("latin-1").lower())
        offset += length


def _udp_size(data: bytes, offset: int) -> int:
    """The size that EDNS offers (RFC 6891), where the first additional record is an OPT."""
    if offset + 11 > len(data) or data[offset] != 0:
        return UDP_SIZE
    kind, size = struct.unpack_from(">HH", data, offset + 1)
    return max(UDP_SIZE, min(size, 4096)) if kind == TYPE_OPT else UDP_SIZE


def encode_name(name: str) -> bytes:
    """Encode a name; raises ValueError for one that does not fit."""
    parts = [label.encode("latin-1") for label in name.split(".")] if name else []
    if any(not 0 < len(part) < 64 for part in parts) or sum(len(part) + 1 for part in parts) > 254:
        raise ValueError(f"{name!r} is not a domain name")
    return b"".join(bytes((len(part),)) + part for part in parts) + b"\0"


def encode_query(identity: int, name: str, kind: int) -> bytes:
    """A query for tests and look-ups of our own."""
    return _HEADER.pack(identity, FLAG_RD, 1, 0, 0, 0) + encode_name(name) + _QUESTION.pack(kind, CLASS_IN)


def reply(question: Question, answers: Iterable[IPAddress | str] = (), code: int = NOERROR, size: int = 65535) -> bytes:
    """Answer with addresses, or with names for a reverse question.  What does not fit is cut and flagged as cut."""
    records = []
    for answer in answers:
        kind, data = _record(answer)
        head = struct.pack(">HHIH", kind, CLASS_IN, TTL, len(data))
        records.append(_POINTER_TO_QUESTION + head + data)
    flags = FLAG_QR | FLAG_RA | (question.flags & (OPCODE_MASK | FLAG_RD)) | code
    room = size - _HEADER.size - len(question.wire)
    kept: list[bytes] = []
    for record in records:
        room -= len(record)
        if room < 0:
            flags |= FLAG_TC
            break
        kept.append(record)
    header = _HEADER.pack(question.id, flags, 1, len(kept), 0, 0)
    return header + question.wire + b"".join(kept)


def _record(answer: IPAddress | str) -> tuple[int, bytes]:
    if isinstance(answer, str):
        return TYPE_PTR, encode_name(answer)
    return (TYPE_A if answer.version == 4 else TYPE_AAAA), answer.packed


def refusal(data: bytes, code: int) -> bytes:
    """Answer something that could not be read, or not be served."""
    if len(data) < _HEADER.size:
        return b""
    identity, flags = struct.unpack_from(">HH", data)
    if flags & FLAG_QR:
        return b""  # never answer an answer
    return _HEADER.pack(identity, FLAG_QR | FLAG_RA | (flags & (OPCODE_MASK | FLAG_RD)) | code, 0, 0, 0, 0)


def answers_of(data: bytes) -> tuple[int, list[IPAddress]]:
    """The code and the addresses of a reply whose records point to its question (as ours do)."""
    if len(data) < _HEADER.size:
        raise Malformed("too short")
    _, flags, questions, count, _, _ = _HEADER.unpack_from(data)
    offset = _HEADER.size
    if questions:
        _, offset = _read_name(data, offset)
        offset += _QUESTION.size
    found: list[IPAddress] = []
    for _ in range(count):
        if offset + 12 > len(data):
            raise Malformed("an answer is cut off")
        kind, _, _, length = struct.unpack_from(">HHIH", data, offset + 2)
        payload = data[offset + 12 : offset + 12 + length]
        if kind in (TYPE_A, TYPE_AAAA) and len(payload) in (4, 16):
            found.append(ip_address(payload))
        offset += 12 + length
    return flags & 0xF, found


def reverse_address(name: str) -> IPAddress | None:
    """The address that a name under in-addr.arpa or ip6.arpa stands for."""
    try:
        if name.endswith(".in-addr.arpa"):
            return IPv4Address(".".join(reversed(name.removesuffix(".in-addr.arpa").split("."))))
        if name.endswith(".ip6.arpa"):
            digits = name.removesuffix(".ip6.arpa").split(".")
            if len(digits) == 32 and all(len(digit) == 1 for digit in digits):
                return IPv6Address(int("".join(reversed(digits)), 16))
    except ValueError:
        return None
    return None


# ── names ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class NetworkNames:
    """The names on one network.  Several containers may share one (an alias): they are all answered."""

    network: str
    by_name: dict[str, dict[str, Endpoint]] = field(default_factory=dict)  # name -> endpoint id -> endpoint
    by_address: dict[IPAddress, Endpoint] = field(default_factory=dict)

    def add(self, endpoint: Endpoint) -> None:
        for name in endpoint.dns_names:
            self.by_name.setdefault(name.lower(), {})[endpoint.id] = endpoint
        for address in (endpoint.ipv4, endpoint.ipv6):
            if address:
                self.by_address[address.ip] = endpoint

    def remove(self, endpoint: Endpoint) -> None:
        for name in endpoint.dns_names:
            members = self.by_name.get(name.lower(), {})
            members.pop(endpoint.id, None)
            if not members:
                self.by_name.pop(name.lower(), None)
        for address in (endpoint.ipv4, endpoint.ipv6):
            if address:
                self.by_address.pop(address.ip, None)


@dataclass(slots=True)
class Zone:
    """What one container may know: the names of the networks that it is on, and its own links."""

    networks: list[NetworkNames]
    links: Mapping[str, str] = field(default_factory=dict)  # alias -> name
    turn: int = 0  # so that equals are answered in turn

    def answer(self, question: Question) -> list[IPAddress | str] | None:
        """Addresses or names; an empty list for a name without such records; None for a name we do not know."""
        if question.klass != CLASS_IN:
            return None
        if question.type == TYPE_PTR:
            return self._reverse(question.name)
        found = self._find(question.name)
        if not found:
            return None
        addresses: list[IPAddress | str] = []
        for endpoint in found:
            if endpoint.ipv4 and question.type in (TYPE_A, TYPE_ANY):
                addresses.append(endpoint.ipv4.ip)
            if endpoint.ipv6 and question.type in (TYPE_AAAA, TYPE_ANY):
                addresses.append(endpoint.ipv6.ip)
        if len(addresses) > 1:
            self.turn += 1
            start = self.turn % len(addresses)
            addresses = addresses[start:] + addresses[:start]
        return addresses

    def _find(self, name: str) -> list[Endpoint]:
        """docker: the first network that knows the name answers; ``name.network`` asks that network alone."""
        name = self.links.get(name, name).lower()
        for network in self.networks:
            members = network.by_name.get(name)
            if members is None and name.endswith("." + network.network.lower()):
                members = network.by_name.get(name[: -len(network.network) - 1])
            if members:
                return list(members.values())
        return []

    def _reverse(self, name: str) -> list[IPAddress | str] | None:
        address = reverse_address(name)
        if address is None:
            return None
        for network in self.networks:
            endpoint = network.by_address.get(address)
            if endpoint:
                return [f"{endpoint.container_name or endpoint.container_id[:12]}.{network.network}"]
        return None
