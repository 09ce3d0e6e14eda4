"""The data types of nf_tables keys and values.

Owns: how an address, a port, a protocol or an interface name is packed into a register, and how nft(8) prints it.
The numbers are nft(8)'s own; the kernel only stores them, so that the tool can show what we made.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, summarize_address_range

Value = int | str | IPv4Address | IPv6Address
IFNAMSIZ = 16
_PROTOCOLS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp", socket.IPPROTO_SCTP: "sctp"}


@dataclass(frozen=True, slots=True)
class DataType:
    """One type: its name and number in nft(8), its size in bytes, how to pack and show a value."""

    name: str
    code: int
    size: int
    pack: Callable[[Value], bytes]
    show: Callable[[Value], str]
    is_host_order: bool = False

    @property
    def slot(self) -> int:
        """Its size within a concatenation: whole 32-bit registers."""
        return self.size + -self.size % 4

    def show_range(self, low: Value, high: Value) -> str:
        if isinstance(low, IPv4Address) and isinstance(high, IPv4Address):
            return _show_block(str(low), str(high), [str(block) for block in summarize_address_range(low, high)])
        if isinstance(low, IPv6Address) and isinstance(high, IPv6Address):
            return _show_block(str(low), str(high), [str(block) for block in summarize_address_range(low, high)])
        return self.show(low) if low == high else f"{self.show(low)}-{self.show(high)}"


def _show_block(low: str, high: str, blocks: list[str]) -> str:
    if low == high:
        return low
    return blocks[0] if len(blocks) == 1 else f"{low}-{high}"


def pack_name(value: Value) -> bytes:
    data = str(value).encode()
    if len(data) >= IFNAMSIZ:
        raise ValueError(f"interface name {value!r} is too long")
    return data.ljust(IFNAMSIZ, b"\0")


def _pack_address(value: Value) -> bytes:
    if isinstance(value, IPv4Address | IPv6Address):
        return value.packed
    raise TypeError(f"not an address: {value!r}")


def _pack_byte(value: Value) -> bytes:
    return struct.pack("=B", value)


def _pack_port(value: Value) -> bytes:
    return struct.pack(">H", value)


def _show_protocol(value: Value) -> str:
    return _PROTOCOLS.get(int(str(value)), str(value))


IPV4_ADDR = DataType("ipv4_addr", 7, 4, _pack_address, str)
IPV6_ADDR = DataType("ipv6_addr", 8, 16, _pack_address, str)
INET_PROTO = DataType("inet_proto", 12, 1, _pack_byte, _show_protocol)
INET_SERVICE = DataType("inet_service", 13, 2, _pack_port, str)
IFNAME = DataType("ifname", 41, IFNAMSIZ, pack_name, lambda value: f'"{value}"', True)
