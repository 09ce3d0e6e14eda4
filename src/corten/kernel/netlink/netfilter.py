"""Tables, chains, sets and rules of nf_tables, as batches.

Owns: the requests of linux/netfilter/nf_tables.h and what its dumps and notifications say; typed set elements.  Pure:
``socket.py`` sends.  Rules are made of statements, see ``statements.py``.  No policy: which rules there are is for
``network/firewall.py`` to say.

Everything prints as nft(8) would list it, so that a ruleset can be read, kept as a golden file and compared with the
real tool.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from corten.kernel.netlink import codec
from corten.kernel.netlink.codec import NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, Attributes, Message, Request
from corten.kernel.netlink.datatypes import DataType, Value

# linux/netfilter/nfnetlink.h, linux/netfilter.h
NFNL_SUBSYS_NFTABLES = 10
NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END = 0x10, 0x11
NFNLGRP_NFTABLES = 7
NFPROTO_UNSPEC, NFPROTO_INET, NFPROTO_IPV4, NFPROTO_BRIDGE, NFPROTO_IPV6 = 0, 1, 2, 7, 10
FAMILIES = {NFPROTO_INET: "inet", NFPROTO_IPV4: "ip", NFPROTO_IPV6: "ip6", NFPROTO_BRIDGE: "bridge"}
HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
NF_DROP, NF_ACCEPT = 0, 1
# linux/netfilter/nf_tables.h
NFT_MSG_NEWTABLE, NFT_MSG_DELTABLE = 0, 2
NFT_MSG_NEWCHAIN, NFT_MSG_GETCHAIN, NFT_MSG_DELCHAIN = 3, 4, 5
NFT_MSG_NEWRULE, NFT_MSG_GETRULE, NFT_MSG_DELRULE = 6, 7, 8
NFT_MSG_NEWSET, NFT_MSG_GETSET, NFT_MSG_DELSET = 9, 10, 11
NFT_MSG_NEWSETELEM, NFT_MSG_GETSETELEM, NFT_MSG_DELSETELEM = 12, 13, 14
NFT_MSG_NEWGEN = 15
NFTA_LIST_ELEM = 1
NFTA_TABLE_NAME, NFTA_TABLE_HANDLE = 1, 4
NFTA_CHAIN_TABLE, NFTA_CHAIN_HANDLE, NFTA_CHAIN_NAME = 1, 2, 3
NFTA_CHAIN_HOOK, NFTA_CHAIN_POLICY, NFTA_CHAIN_TYPE = 4, 5, 7
NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY = 1, 2
NFTA_RULE_TABLE, NFTA_RULE_CHAIN, NFTA_RULE_HANDLE, NFTA_RULE_EXPRESSIONS, NFTA_RULE_USERDATA = 1, 2, 3, 4, 7
NFTA_SET_TABLE, NFTA_SET_NAME, NFTA_SET_FLAGS, NFTA_SET_KEY_TYPE, NFTA_SET_KEY_LEN = 1, 2, 3, 4, 5
NFTA_SET_DATA_TYPE, NFTA_SET_DATA_LEN, NFTA_SET_DESC, NFTA_SET_ID, NFTA_SET_USERDATA = 6, 7, 9, 10, 13
NFTA_SET_DESC_CONCAT, NFTA_SET_FIELD_LEN = 2, 1
NFT_SET_INTERVAL, NFT_SET_MAP, NFT_SET_CONCAT = 0x04, 0x08, 0x80
NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_ELEMENTS = 1, 2, 3
NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_DATA, NFTA_SET_ELEM_FLAGS, NFTA_SET_ELEM_KEY_END = 1, 2, 3, 10
NFT_SET_ELEM_INTERVAL_END = 1
NFTA_DATA_VALUE = 1
NFTNL_UDATA_RULE_COMMENT = 0
NFTNL_UDATA_SET_KEYBYTEORDER, BYTEORDER_HOST_ENDIAN = 0, 1

_GENERAL = struct.Struct(">BBH")  # nfgenmsg
_ELEMENTS_PER_MESSAGE = 300  # an attribute holds 64 KiB


def _request(kind: int, family: int, flags: int, body: bytes, what: str) -> Request:
    return Request(NFNL_SUBSYS_NFTABLES << 8 | kind, flags, _GENERAL.pack(family, 0, 0) + body, what)


def begin_batch() -> Request:
    return Request(NFNL_MSG_BATCH_BEGIN, 0, _GENERAL.pack(0, 0, NFNL_SUBSYS_NFTABLES), "nf_tables batch")


def end_batch() -> Request:
    return Request(NFNL_MSG_BATCH_END, 0, _GENERAL.pack(0, 0, NFNL_SUBSYS_NFTABLES), "nf_tables batch")


@dataclass(frozen=True, slots=True)
class Statement:
    """One piece of a rule: the words nft(8) has for it and its encoded expressions."""

    text: str
    code: bytes

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Rule:
    """Statements in order, with an optional comment that the kernel keeps for us."""

    statements: tuple[Statement, ...]
    comment: str = ""

    def __str__(self) -> str:
        words = " ".join(statement.text for statement in self.statements)
        return f'{words} comment "{self.comment}"' if self.comment else words


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain; with a ``hook`` the kernel calls it, without one rules jump to it."""

    name: str
    rules: tuple[Rule, ...]
    kind: str = "filter"
    hook: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Element:
    """A member of a set, or of a map where ``data`` is given.  A key's field may be a pair: an inclusive range."""

    key: tuple[Value | tuple[Value, Value], ...]
    data: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Set:
    """A named set, or a map where ``data`` is given."""

    name: str
    key: tuple[DataType, ...]
    data: tuple[DataType, ...] = ()
    interval: bool = False
    elements: frozenset[Element] = frozenset()

    def __str__(self) -> str:
        kind = " . ".join(field.name for field in self.key)
        return kind + (" : " + " . ".join(field.name for field in self.data) if self.data else "")

    def show(self, element: Element) -> str:
        """The element as nft(8) lists it."""
        fields = []
        for field, value in zip(self.key, element.key, strict=True):
            fields.append(field.show_range(*value) if isinstance(value, tuple) else field.show(value))
        words = " . ".join(fields)
        if self.data:
            words += " : " + " . ".join(f.show(v) for f, v in zip(self.data, element.data, strict=True))
        return words


@dataclass(frozen=True, slots=True)
class Table:
    """A whole ruleset as one value."""

    name: str
    family: int
    sets: tuple[Set, ...] = ()
    chains: tuple[Chain, ...] = ()

    def __str__(self) -> str:
        lines = [f"table {FAMILIES[self.family]} {self.name} {{"]
        for each in self.sets:
            lines += [f"\t{'map' if each.data else 'set'} {each.name} {{", f"\t\ttype {each}"]
            lines += ["\t\tflags interval"] * each.interval
            members = sorted(each.show(element) for element in each.elements)
            lines += ["\t\telements = { " + ", ".join(members) + " }"] * bool(members)
            lines += ["\t}", ""]
        for chain in self.chains:
            lines.append(f"\tchain {chain.name} {{")
            if chain.hook:
                lines.append(f"\t\ttype {chain.kind} hook {chain.hook} priority {chain.priority}; policy accept;")
            lines += [f"\t\t{rule}" for rule in chain.rules]
            lines += ["\t}", ""]
        return "\n".join([*lines[:-1], "}", ""])


def replace_table(table: Table) -> list[Request]:
    """The requests of a batch that puts a table in place of what had its name."""
    return [
        add_table(table.family, table.name),  # so that the deletion never fails
        delete_table(table.family, table.name),
        *make_table(table),
    ]


def make_table(table: Table) -> list[Request]:
    """The requests of a batch that makes a table which is not there yet."""
    requests = [add_table(table.family, table.name)]
    for each in table.sets:
        requests.append(add_set(table, each))
        requests += add_elements(table, each, each.elements)
    requests += [add_chain(table, chain) for chain in table.chains]  # all before the rules that jump to them
    requests += [add_rule(table.family, table.name, chain.name, rule) for chain in table.chains for rule in chain.rules]
    return requests


def add_table(family: int, name: str) -> Request:
    """Create unless it is there."""
    body = codec.string(NFTA_TABLE_NAME, name)
    return _request(NFT_MSG_NEWTABLE, family, NLM_F_CREATE, body, f"add table {name}")


def delete_table(family: int, name: str) -> Request:
    return _request(NFT_MSG_DELTABLE, family, 0, codec.string(NFTA_TABLE_NAME, name), f"delete table {name}")


def add_chain(table: Table, chain: Chain) -> Request:
    parts = [codec.string(NFTA_CHAIN_TABLE, table.name), codec.string(NFTA_CHAIN_NAME, chain.name)]
    if chain.hook:
        number = codec.be32(NFTA_HOOK_HOOKNUM, HOOKS[chain.hook])
        priority = codec.be32(NFTA_HOOK_PRIORITY, chain.priority & 0xFFFFFFFF)
        parts += [codec.nested(NFTA_CHAIN_HOOK, number, priority), codec.be32(NFTA_CHAIN_POLICY, NF_ACCEPT)]
        parts.append(codec.string(NFTA_CHAIN_TYPE, chain.kind))
    return _request(NFT_MSG_NEWCHAIN, table.family, NLM_F_CREATE, b"".join(parts), f"add chain {chain.name}")


def add_rule(family: int, table: str, chain: str, rule: Rule, *, first: bool = False) -> Request:
    """Append a rule, or put it before all others."""
    parts = [codec.string(NFTA_RULE_TABLE, table), codec.string(NFTA_RULE_CHAIN, chain)]
    parts.append(codec.nested(NFTA_RULE_EXPRESSIONS, *(statement.code for statement in rule.statements)))
    if rule.comment:
        words = rule.comment.encode() + b"\0"
        parts.append(codec.attribute(NFTA_RULE_USERDATA, bytes((NFTNL_UDATA_RULE_COMMENT, len(words))) + words))
    flags = NLM_F_CREATE | (0 if first else NLM_F_APPEND)
    return _request(NFT_MSG_NEWRULE, family, flags, b"".join(parts), f"add rule to {chain}: {rule}")


def delete_rule(family: int, table: str, chain: str, handle: int) -> Request:
    body = codec.string(NFTA_RULE_TABLE, table) + codec.string(NFTA_RULE_CHAIN, chain)
    return _request(NFT_MSG_DELRULE, family, 0, body + codec.be64(NFTA_RULE_HANDLE, handle), f"delete rule {handle}")


def _kind_code(fields: Sequence[DataType]) -> int:
    """nft(8)'s number for a type; of a concatenation, six bits a field."""
    code = 0
    for field in fields:
        code = code << 6 | field.code
    return code


def _length(fields: Sequence[DataType]) -> int:
    return sum(field.slot for field in fields) if len(fields) > 1 else fields[0].size


def add_set(table: Table, each: Set) -> Request:
    flags = (NFT_SET_INTERVAL if each.interval else 0) | (NFT_SET_MAP if each.data else 0)
    flags |= NFT_SET_CONCAT if len(each.key) > 1 else 0
    parts = [
        codec.string(NFTA_SET_TABLE, table.name),
        codec.string(NFTA_SET_NAME, each.name),
        codec.be32(NFTA_SET_FLAGS, flags),
        codec.be32(NFTA_SET_KEY_TYPE, _kind_code(each.key)),
        codec.be32(NFTA_SET_KEY_LEN, _length(each.key)),
        codec.be32(NFTA_SET_ID, 1 + table.sets.index(each)),
    ]
    if each.data:
        parts.append(codec.be32(NFTA_SET_DATA_TYPE, _kind_code(each.data)))
        parts.append(codec.be32(NFTA_SET_DATA_LEN, _length(each.data)))
    if len(each.key) > 1:
        fields = (codec.nested(NFTA_LIST_ELEM, codec.be32(NFTA_SET_FIELD_LEN, field.size)) for field in each.key)
        parts.append(codec.nested(NFTA_SET_DESC, codec.nested(NFTA_SET_DESC_CONCAT, *fields)))
    elif each.key[0].is_host_order:  # only nft(8) reads this, to show the elements
        order = struct.pack("=BBI", NFTNL_UDATA_SET_KEYBYTEORDER, 4, BYTEORDER_HOST_ENDIAN)
        parts.append(codec.attribute(NFTA_SET_USERDATA, order))
    return _request(NFT_MSG_NEWSET, table.family, NLM_F_CREATE, b"".join(parts), f"add set {each.name}")


def _pack(fields: Sequence[DataType], values: Sequence[Value]) -> bytes:
    packed = [field.pack(value) for field, value in zip(fields, values, strict=True)]
    return b"".join(data + bytes(-len(data) % 4) for data in packed) if len(fields) > 1 else packed[0]


def _element(*parts: bytes) -> bytes:
    return codec.nested(NFTA_LIST_ELEM, *parts)


def _value(kind: int, data: bytes) -> bytes:
    return codec.nested(kind, codec.attribute(NFTA_DATA_VALUE, data))


def _encode_element(each: Set, element: Element) -> Iterator[bytes]:
    low = _pack(each.key, [value[0] if isinstance(value, tuple) else value for value in element.key])
    data = _value(NFTA_SET_ELEM_DATA, _pack(each.data, element.data)) if element.data else b""
    if not each.interval:
        yield _element(_value(NFTA_SET_ELEM_KEY, low), data)
        return
    high = _pack(each.key, [value[1] if isinstance(value, tuple) else value for value in element.key])
    if len(each.key) > 1:
        yield _element(_value(NFTA_SET_ELEM_KEY, low), _value(NFTA_SET_ELEM_KEY_END, high), data)
        return
    # An interval of a single field is two elements: its start, and the first value after it, flagged.
    yield _element(_value(NFTA_SET_ELEM_KEY, low), data)
    after = int.from_bytes(high, "big") + 1
    if after < 1 << 8 * len(high):
        flag = codec.be32(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END)
        yield _element(_value(NFTA_SET_ELEM_KEY, after.to_bytes(len(high), "big")), flag)


def _elements(kind: int, table: Table, each: Set, elements: Sequence[Element] | frozenset[Element]) -> list[Request]:
    encoded = [code for element in elements for code in _encode_element(each, element)]
    head = codec.string(NFTA_SET_ELEM_LIST_TABLE, table.name) + codec.string(NFTA_SET_ELEM_LIST_SET, each.name)
    flags = NLM_F_CREATE | NLM_F_EXCL if kind == NFT_MSG_NEWSETELEM else 0
    return [
        _request(
            kind,
            table.family,
            flags,
            head + codec.nested(NFTA_SET_ELEM_LIST_ELEMENTS, *encoded[start : start + _ELEMENTS_PER_MESSAGE]),
            f"change elements of {each.name}",
        )
        for start in range(0, len(encoded), _ELEMENTS_PER_MESSAGE)
    ]


def add_elements(table: Table, each: Set, elements: Sequence[Element] | frozenset[Element]) -> list[Request]:
    return _elements(NFT_MSG_NEWSETELEM, table, each, elements)


def delete_elements(table: Table, each: Set, elements: Sequence[Element] | frozenset[Element]) -> list[Request]:
    return _elements(NFT_MSG_DELSETELEM, table, each, elements)


# ── what the kernel says ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Notice:
    """A change, as notified: which message, in which table and chain, by the socket with which port id."""

    kind: int
    family: int
    table: str
    chain: str
    port: int


def parse_notice(message: Message) -> Notice | None:
    if message.type >> 8 != NFNL_SUBSYS_NFTABLES or len(message.body) < _GENERAL.size:
        return None
    kind = message.type & 0xFF
    found = Attributes(message.body[_GENERAL.size :])
    # The table's name is attribute 1 of every message but NEWGEN; a chain's own name is 3, the chain of a rule 2.
    named = kind < NFT_MSG_NEWGEN
    chain = {NFT_MSG_NEWCHAIN: 3, NFT_MSG_DELCHAIN: 3, NFT_MSG_NEWRULE: 2, NFT_MSG_DELRULE: 2}.get(kind)
    return Notice(
        kind,
        message.body[0],
        found.text(1) if named else "",
        found.text(chain) if chain is not None else "",
        message.port,
    )


def list_chains(family: int = NFPROTO_UNSPEC) -> Request:
    return _request(NFT_MSG_GETCHAIN, family, 0, b"", "list chains")


@dataclass(frozen=True, slots=True)
class ChainFact:
    """A chain as it is in the kernel."""

    family: int
    table: str
    name: str
    hook: int | None
    policy: int


def parse_chain(message: Message) -> ChainFact:
    found = Attributes(message.body[_GENERAL.size :])
    hook = found.inner(NFTA_CHAIN_HOOK).big(NFTA_HOOK_HOOKNUM) if NFTA_CHAIN_HOOK in found else None
    policy = found.big(NFTA_CHAIN_POLICY, NF_ACCEPT)
    return ChainFact(message.body[0], found.text(NFTA_CHAIN_TABLE), found.text(NFTA_CHAIN_NAME), hook, policy)


def list_rules(family: int, table: str, chain: str) -> Request:
    body = codec.string(NFTA_RULE_TABLE, table) + codec.string(NFTA_RULE_CHAIN, chain)
    return _request(NFT_MSG_GETRULE, family, 0, body, f"list rules of {chain}")


@dataclass(frozen=True, slots=True)
class RuleFact:
    """A rule as it is in the kernel."""

    family: int
    table: str
    chain: str
    handle: int
    comment: str


def parse_rule(message: Message) -> RuleFact:
    found = Attributes(message.body[_GENERAL.size :])
    data = found.get(NFTA_RULE_USERDATA, b"")
    comment = ""
    while len(data) >= 2:
        kind, length = data[0], data[1]
        if kind == NFTNL_UDATA_RULE_COMMENT:
            comment = codec.text(data[2 : 2 + length])
        data = data[2 + length :]
    table, chain = found.text(NFTA_RULE_TABLE), found.text(NFTA_RULE_CHAIN)
    return RuleFact(message.body[0], table, chain, found.big(NFTA_RULE_HANDLE), comment)
