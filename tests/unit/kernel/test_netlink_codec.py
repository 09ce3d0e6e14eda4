"""Netlink framing: bytes to values and back, cut anywhere; requests against pyroute2 as oracle."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.kernel.netlink import codec, netfilter, route, statements
from corten.kernel.netlink.codec import Attributes, Message, Request
from corten.kernel.netlink.datatypes import IFNAME, INET_PROTO, INET_SERVICE, IPV4_ADDR
from corten.kernel.netlink.netfilter import Element, Set


@given(st.lists(st.tuples(st.integers(1, 0x3FFF), st.binary(max_size=40)), max_size=8))
def test_attributes_round_trip(items: list[tuple[int, bytes]]) -> None:
    data = b"".join(codec.attribute(kind, payload) for kind, payload in items)
    assert list(codec.attributes(data)) == items
    assert len(data) % 4 == 0


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_failing(data: bytes) -> None:
    list(codec.attributes(data))
    for message in codec.messages(data):
        assert isinstance(message.error, int)
        assert isinstance(message.explanation, str)
        netfilter.parse_notice(message)


@given(st.lists(st.tuples(st.integers(16, 2000), st.binary(max_size=40)), min_size=1, max_size=5), st.data())
def test_a_stream_cut_short_gives_the_whole_messages_before_the_cut(
    items: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    requests = [Request(kind, 0, body) for kind, body in items]
    stream = codec.encode(requests, 100)
    whole = list(codec.messages(stream))
    assert [(m.type, m.body) for m in whole] == items
    assert [m.sequence for m in whole] == list(range(100, 100 + len(items)))
    cut = data.draw(st.integers(0, len(stream)))
    assert list(codec.messages(stream[:cut])) == whole[: len(list(codec.messages(stream[:cut])))]


def test_numbers_in_both_orders() -> None:
    found = Attributes(codec.u32(1, 7) + codec.be32(2, 7) + codec.u16(3, 9) + codec.string(4, "eth0") + codec.u8(5, 1))
    assert (found.number(1), found.big(2), found.number(3), found.text(4), found.number(5)) == (7, 7, 9, "eth0", 1)
    assert (found.number(77, 5), found.text(78, "-")) == (5, "-")


def test_an_error_explains_itself() -> None:
    words = codec.attribute(codec.NLMSGERR_ATTR_MSG, b"not like this\0")
    original = struct.pack("=IHHII", 16, 16, 0, 1, 0)
    body = struct.pack("=i", -22) + original + words
    message = Message(codec.NLMSG_ERROR, codec.NLM_F_ACK_TLVS | codec.NLM_F_CAPPED, 1, 0, body)
    assert (message.error, message.explanation) == (22, "not like this")


def test_too_long_an_attribute_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        codec.attribute(1, bytes(70000))


# ── pyroute2 reads what we write ───────────────────────────────────────────────────────────────────

pyroute2_link = pytest.importorskip("pyroute2.netlink.rtnl.ifinfmsg")
pyroute2_address = pytest.importorskip("pyroute2.netlink.rtnl.ifaddrmsg")
pyroute2_route = pytest.importorskip("pyroute2.netlink.rtnl.rtmsg")


def test_veth_as_pyroute2_reads_it() -> None:
    peer = route.Peer("eth0", 9, "02:42:0a:00:00:02", 1400)
    message = pyroute2_link.ifinfmsg(route.create_veth("veth1", peer, master=7, mtu=1400).encode(1))
    message.decode()
    assert message.get_attr("IFLA_IFNAME") == "veth1"
    assert (message.get_attr("IFLA_MASTER"), message.get_attr("IFLA_MTU")) == (7, 1400)
    assert message["flags"] & 1
    info = message.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "veth"
    inner = info.get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    assert inner.get_attr("IFLA_IFNAME") == "eth0"
    assert inner.get_attr("IFLA_ADDRESS") == "02:42:0a:00:00:02"
    assert inner.get_attr("IFLA_NET_NS_FD") == 9
    assert not inner["flags"], "a peer that is up at once is refused by the kernel"


@pytest.mark.parametrize("text", ["10.1.2.3/24", "fd00::5/64"])
def test_address_as_pyroute2_reads_it(text: str) -> None:
    address = ip_interface(text)
    message = pyroute2_address.ifaddrmsg(route.add_address(3, address).encode(1))
    message.decode()
    assert message.get_attr("IFA_ADDRESS") == str(address.ip)
    assert (message["prefixlen"], message["index"]) == (address.network.prefixlen, 3)
    assert message["family"] == (socket.AF_INET if address.version == 4 else socket.AF_INET6)


def test_default_route_as_pyroute2_reads_it() -> None:
    message = pyroute2_route.rtmsg(route.add_route(None, ip_address("10.0.0.1"), 4).encode(1))
    message.decode()
    assert (message.get_attr("RTA_GATEWAY"), message.get_attr("RTA_OIF"), message["dst_len"]) == ("10.0.0.1", 4, 0)


# ── nf_tables values ───────────────────────────────────────────────────────────────────────────────


def test_statements_print_as_nft_prints_them() -> None:
    pairs = Set("pairs", (IFNAME, IFNAME))
    assert str(statements.member(pairs, "iifname", "oifname")) == "iifname . oifname @pairs"
    assert str(statements.member(pairs, "iifname", inverted=True)) == "iifname != @pairs"
    assert str(statements.prefix("ip saddr", ip_network("10.0.0.0/8"))) == "ip saddr 10.0.0.0/8"
    assert str(statements.prefix("ip6 daddr", ip_network("::1/128"), inverted=True)) == "ip6 daddr != ::1"
    assert str(statements.destination_nat(ip_address("::1"), 53)) == "dnat to [::1]:53"
    assert str(statements.interface("oifname", "br0", inverted=True)) == 'oifname != "br0"'


def test_intervals_of_one_field_end_after_their_last_value() -> None:
    ranges = Set("r", (IPV4_ADDR,), interval=True)
    ends = list(netfilter._encode_element(ranges, Element(((ip_address("10.0.0.0"), ip_address("10.0.0.255")),))))
    assert len(ends) == 2
    assert ip_address("10.0.1.0").packed in ends[1]
    last = list(netfilter._encode_element(ranges, Element(((ip_address("255.0.0.0"), ip_address("255.255.255.255")),))))
    assert len(last) == 1, "nothing comes after the last address"


def test_elements_show_as_nft_shows_them() -> None:
    ports = Set("p", (INET_PROTO, INET_SERVICE), (IPV4_ADDR, INET_SERVICE), interval=True)
    element = Element((6, (8000, 8010)), (ip_address("10.0.0.2"), 80))
    assert ports.show(element) == "tcp . 8000-8010 : 10.0.0.2 . 80"


def test_many_elements_are_split_into_messages_that_fit() -> None:
    ports = Set("p", (INET_PROTO, INET_SERVICE))
    table = netfilter.Table("t", netfilter.NFPROTO_INET, (ports,))
    many = [Element((6, port)) for port in range(1, 2001)]
    requests = netfilter.add_elements(table, ports, many)
    assert len(requests) == 7
    assert all(len(request.body) < 65536 for request in requests)


def test_names_of_interfaces_must_fit() -> None:
    with pytest.raises(ValueError, match="too long"):
        IFNAME.pack("a-name-of-16-char")
