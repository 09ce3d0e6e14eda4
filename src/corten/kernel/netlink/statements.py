"""Statements of nf_tables rules: what nft(8) writes, as encoded expressions.

Owns: the expressions that Corten's rules need (meta, payload, ct, fib, cmp, bitwise, lookup, nat, masquerade,
verdicts).  Registers are 32-bit slots; a concatenation loads its fields into neighbouring slots.  Which rules are made
of them: ``network/firewall.py``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from corten.kernel.netlink import codec
from corten.kernel.netlink.datatypes import pack_name
from corten.kernel.netlink.netfilter import (
    NF_ACCEPT,
    NF_DROP,
    NFPROTO_IPV4,
    NFPROTO_IPV6,
    NFTA_DATA_VALUE,
    NFTA_LIST_ELEM,
    Set,
    Statement,
)

# linux/netfilter/nf_tables.h
NFT_REG_VERDICT, NFT_REG32_00 = 0, 8
NFTA_EXPR_NAME, NFTA_EXPR_DATA = 1, 2
NFTA_DATA_VERDICT, NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN = 2, 1, 2
NFT_JUMP, NFT_RETURN = -3, -5
NFTA_META_DREG, NFTA_META_KEY = 1, 2
NFT_META_IIFNAME, NFT_META_OIFNAME, NFT_META_NFPROTO, NFT_META_L4PROTO = 6, 7, 15, 16
NFTA_CMP_SREG, NFTA_CMP_OP, NFTA_CMP_DATA = 1, 2, 3
NFT_CMP_EQ, NFT_CMP_NEQ = 0, 1
NFTA_PAYLOAD_DREG, NFTA_PAYLOAD_BASE, NFTA_PAYLOAD_OFFSET, NFTA_PAYLOAD_LEN = 1, 2, 3, 4
NFT_PAYLOAD_NETWORK_HEADER, NFT_PAYLOAD_TRANSPORT_HEADER = 1, 2
NFTA_BITWISE_SREG, NFTA_BITWISE_DREG, NFTA_BITWISE_LEN, NFTA_BITWISE_MASK, NFTA_BITWISE_XOR = 1, 2, 3, 4, 5
NFTA_LOOKUP_SET, NFTA_LOOKUP_SREG, NFTA_LOOKUP_DREG, NFTA_LOOKUP_FLAGS = 1, 2, 3, 5
NFT_LOOKUP_F_INV = 1
NFTA_IMMEDIATE_DREG, NFTA_IMMEDIATE_DATA = 1, 2
NFTA_CT_DREG, NFTA_CT_KEY = 1, 2
NFT_CT_STATE, NFT_CT_STATUS = 0, 2
CT_STATES = {"invalid": 1, "established": 2, "related": 4, "new": 8}
CT_STATUSES = {"snat": 0x10, "dnat": 0x20}
NFTA_NAT_TYPE, NFTA_NAT_FAMILY, NFTA_NAT_REG_ADDR_MIN, NFTA_NAT_REG_PROTO_MIN = 1, 2, 3, 5
NFT_NAT_SNAT, NFT_NAT_DNAT = 0, 1
NFTA_FIB_DREG, NFTA_FIB_RESULT, NFTA_FIB_FLAGS = 1, 2, 3
NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR = 3, 2
RTN_LOCAL = 2

Prefix = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
_SLOT = 4


def _register(offset: int) -> int:
    """The register at a byte offset from the first."""
    return NFT_REG32_00 + offset // _SLOT


def _expression(name: str, *parts: bytes) -> bytes:
    return codec.nested(NFTA_LIST_ELEM, codec.string(NFTA_EXPR_NAME, name), codec.nested(NFTA_EXPR_DATA, *parts))


def _data(kind: int, value: bytes) -> bytes:
    return codec.nested(kind, codec.attribute(NFTA_DATA_VALUE, value))


def _meta(key: int, offset: int = 0) -> bytes:
    return _expression("meta", codec.be32(NFTA_META_DREG, _register(offset)), codec.be32(NFTA_META_KEY, key))


def _payload(base: int, start: int, length: int, offset: int = 0) -> bytes:
    return _expression(
        "payload",
        codec.be32(NFTA_PAYLOAD_DREG, _register(offset)),
        codec.be32(NFTA_PAYLOAD_BASE, base),
        codec.be32(NFTA_PAYLOAD_OFFSET, start),
        codec.be32(NFTA_PAYLOAD_LEN, length),
    )


def _compare(value: bytes, operation: int = NFT_CMP_EQ) -> bytes:
    return _expression(
        "cmp",
        codec.be32(NFTA_CMP_SREG, _register(0)),
        codec.be32(NFTA_CMP_OP, operation),
        _data(NFTA_CMP_DATA, value),
    )


def _mask(mask: bytes) -> bytes:
    return _expression(
        "bitwise",
        codec.be32(NFTA_BITWISE_SREG, _register(0)),
        codec.be32(NFTA_BITWISE_DREG, _register(0)),
        codec.be32(NFTA_BITWISE_LEN, len(mask)),
        _data(NFTA_BITWISE_MASK, mask),
        _data(NFTA_BITWISE_XOR, bytes(len(mask))),
    )


def _lookup(name: str, *, inverted: bool = False, data: bool = False) -> bytes:
    parts = [codec.string(NFTA_LOOKUP_SET, name), codec.be32(NFTA_LOOKUP_SREG, _register(0))]
    if data:
        parts.append(codec.be32(NFTA_LOOKUP_DREG, _register(0)))
    if inverted:
        parts.append(codec.be32(NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV))
    return _expression("lookup", *parts)


def _verdict(code: int, chain: str = "") -> bytes:
    parts = [codec.be32(NFTA_VERDICT_CODE, code & 0xFFFFFFFF)]
    if chain:
        parts.append(codec.string(NFTA_VERDICT_CHAIN, chain))
    data = codec.nested(NFTA_IMMEDIATE_DATA, codec.nested(NFTA_DATA_VERDICT, *parts))
    return _expression("immediate", codec.be32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT), data)


# ── loads: what is looked at, as (code, bytes of registers used) ────────────────────────────────────────────

_LOADS: dict[str, Callable[[int], tuple[bytes, int]]] = {
    "iifname": lambda at: (_meta(NFT_META_IIFNAME, at), 16),
    "oifname": lambda at: (_meta(NFT_META_OIFNAME, at), 16),
    "meta l4proto": lambda at: (_meta(NFT_META_L4PROTO, at), 4),
    "th dport": lambda at: (_payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, at), 4),
    "ip saddr": lambda at: (_payload(NFT_PAYLOAD_NETWORK_HEADER, 12, 4, at), 4),
    "ip daddr": lambda at: (_payload(NFT_PAYLOAD_NETWORK_HEADER, 16, 4, at), 4),
    "ip6 saddr": lambda at: (_payload(NFT_PAYLOAD_NETWORK_HEADER, 8, 16, at), 16),
    "ip6 daddr": lambda at: (_payload(NFT_PAYLOAD_NETWORK_HEADER, 24, 16, at), 16),
}


def _load(*fields: str) -> bytes:
    """Load fields into neighbouring slots, after a check that the packet has them."""
    code = _guard(fields)
    offset = 0
    for field in fields:
        loaded, used = _LOADS[field](offset)
        code += loaded
        offset += used
    return code


def _guard(fields: tuple[str, ...]) -> bytes:
    """In family inet a rule that reads an IPv4 header must first ask whether there is one."""
    for field in fields:
        if field.startswith("ip "):
            return _meta(NFT_META_NFPROTO) + _compare(bytes((NFPROTO_IPV4,)))
        if field.startswith("ip6 "):
            return _meta(NFT_META_NFPROTO) + _compare(bytes((NFPROTO_IPV6,)))
    return b""


# ── matches ────────────────────────────────────────────────────────────────────────────────────────


def interface(direction: str, name: str, *, inverted: bool = False) -> Statement:
    """``iifname "br0"`` or ``oifname != "br0"``."""
    operation = NFT_CMP_NEQ if inverted else NFT_CMP_EQ
    text = f'{direction} {"!= " if inverted else ""}"{name}"'
    return Statement(text, _load(direction) + _compare(pack_name(name), operation))


def member(each: Set, *fields: str, inverted: bool = False) -> Statement:
    """``iifname . oifname @pairs``."""
    text = f"{' . '.join(fields)} {'!= ' if inverted else ''}@{each.name}"
    return Statement(text, _load(*fields) + _lookup(each.name, inverted=inverted))


def prefix(field: str, network: Prefix, *, inverted: bool = False) -> Statement:
    """``ip saddr 172.17.0.0/16``."""
    operation = NFT_CMP_NEQ if inverted else NFT_CMP_EQ
    code = _load(field)
    if network.prefixlen < network.max_prefixlen:
        code += _mask(network.netmask.packed)
    shown = str(network) if network.prefixlen < network.max_prefixlen else str(network.network_address)
    text = f"{field} {'!= ' if inverted else ''}{shown}"
    return Statement(text, code + _compare(network.network_address.packed, operation))


def destination_port(protocol: str, number: int, port: int) -> Statement:
    """``udp dport 53``."""
    code = _load("meta l4proto") + _compare(bytes((number,))) + _load("th dport") + _compare(struct.pack(">H", port))
    return Statement(f"{protocol} dport {port}", code)


def ct_state(*names: str) -> Statement:
    bits = sum(CT_STATES[name] for name in names)
    load = _expression("ct", codec.be32(NFTA_CT_DREG, _register(0)), codec.be32(NFTA_CT_KEY, NFT_CT_STATE))
    test = _mask(struct.pack("=I", bits)) + _compare(bytes(4), NFT_CMP_NEQ)
    return Statement(f"ct state {','.join(names)}", load + test)


def ct_status(name: str) -> Statement:
    load = _expression("ct", codec.be32(NFTA_CT_DREG, _register(0)), codec.be32(NFTA_CT_KEY, NFT_CT_STATUS))
    test = _mask(struct.pack("=I", CT_STATUSES[name])) + _compare(bytes(4), NFT_CMP_NEQ)
    return Statement(f"ct status {name}", load + test)


def destination_is_local() -> Statement:
    """``fib daddr type local``: the packet is for an address of this host."""
    load = _expression(
        "fib",
        codec.be32(NFTA_FIB_DREG, _register(0)),
        codec.be32(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE),
        codec.be32(NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR),
    )
    return Statement("fib daddr type local", load + _compare(struct.pack("=I", RTN_LOCAL)))


def protocol_family(version: int) -> Statement:
    number, name = (NFPROTO_IPV4, "ipv4") if version == 4 else (NFPROTO_IPV6, "ipv6")
    return Statement(f"meta nfproto {name}", _meta(NFT_META_NFPROTO) + _compare(bytes((number,))))


# ── actions ────────────────────────────────────────────────────────────────────────────────────────

ACCEPT = Statement("accept", _verdict(NF_ACCEPT))
DROP = Statement("drop", _verdict(NF_DROP))
RETURN = Statement("return", _verdict(NFT_RETURN))
MASQUERADE = Statement("masquerade", _expression("masq"))
COUNTER = Statement("counter", _expression("counter"))


def jump(chain: str) -> Statement:
    return Statement(f"jump {chain}", _verdict(NFT_JUMP, chain))


def _nat(kind: int, version: int, *, port: bool) -> bytes:
    family, width = (NFPROTO_IPV4, 4) if version == 4 else (NFPROTO_IPV6, 16)
    parts = [
        codec.be32(NFTA_NAT_TYPE, kind),
        codec.be32(NFTA_NAT_FAMILY, family),
        codec.be32(NFTA_NAT_REG_ADDR_MIN, _register(0)),
    ]
    if port:
        parts.append(codec.be32(NFTA_NAT_REG_PROTO_MIN, _register(width)))
    return _expression("nat", *parts)


def nat_by_map(kind: str, version: int, each: Set, *fields: str) -> Statement:
    """``dnat ip to meta l4proto . th dport map @ports``; the map says the address, and the port where it has one."""
    family = "ip" if version == 4 else "ip6"
    action = NFT_NAT_DNAT if kind == "dnat" else NFT_NAT_SNAT
    code = _load(*fields) + _lookup(each.name, data=True) + _nat(action, version, port=len(each.data) > 1)
    return Statement(f"{kind} {family} to {' . '.join(fields)} map @{each.name}", code)


def destination_nat(address: Address, port: int) -> Statement:
    """``dnat to 127.0.0.11:4053``."""
    load = _expression(
        "immediate",
        codec.be32(NFTA_IMMEDIATE_DREG, _register(0)),
        _data(NFTA_IMMEDIATE_DATA, address.packed),
    ) + _expression(
        "immediate",
        codec.be32(NFTA_IMMEDIATE_DREG, _register(len(address.packed))),
        _data(NFTA_IMMEDIATE_DATA, struct.pack(">H", port)),
    )
    shown = f"[{address}]" if address.version == 6 else str(address)
    return Statement(f"dnat to {shown}:{port}", load + _nat(NFT_NAT_DNAT, address.version, port=True))
