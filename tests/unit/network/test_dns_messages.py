"""DNS: the codec against hostile bytes, the answering table."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.network import dns
from corten.network.dns import Malformed, NetworkNames, Question, Zone
from corten.network.model import Endpoint

LABEL = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789-_"), min_size=1, max_size=20)


def question(name: str, kind: int = dns.TYPE_A) -> Question:
    return dns.parse_query(dns.encode_query(1, name, kind))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_query_or_malformed(data: bytes) -> None:
    try:
        found = dns.parse_query(data)
    except Malformed:
        found = None
    if found is not None:
        assert dns.reply(found, [ip_address("10.0.0.1")]).startswith(data[:2])
    assert len(dns.refusal(data, dns.FORMERR)) in (0, 12)


@given(st.lists(LABEL, min_size=1, max_size=5), st.sampled_from([1, 12, 28]), st.integers(0, 65535))
def test_queries_round_trip(labels: list[str], kind: int, identity: int) -> None:
    name = ".".join(labels)
    data = dns.encode_query(identity, name, kind)
    found = dns.parse_query(data)
    assert (found.name, found.type, found.id) == (name, kind, identity)
    for cut in range(len(data)):
        with pytest.raises(Malformed):
            dns.parse_query(data[:cut])


@given(st.lists(st.ip_addresses(), max_size=8))
def test_replies_round_trip(addresses: list[Any]) -> None:
    code, found = dns.answers_of(dns.reply(question("web"), addresses))
    assert (code, found) == (0, addresses)


def test_what_does_not_fit_is_cut_and_says_so() -> None:
    many = [ip_address(f"10.0.0.{n}") for n in range(200)]
    answer = dns.reply(question("web"), many, size=512)
    assert len(answer) <= 512
    assert answer[2] & 0x02
    assert 20 < len(dns.answers_of(answer)[1]) < 200


def test_edns_offers_room() -> None:
    query = bytearray(dns.encode_query(1, "web", 1))
    query[11] = 1  # one additional record: OPT with 1232 bytes
    query += b"\0" + (41).to_bytes(2, "big") + (1232).to_bytes(2, "big") + bytes(6)
    assert dns.parse_query(bytes(query)).udp_size == 1232


def test_an_answer_is_never_answered() -> None:
    data = bytearray(dns.encode_query(1, "web", 1))
    data[2] |= 0x80
    assert dns.refusal(bytes(data), dns.FORMERR) == b""


def endpoint(name: str, number: int, aliases: tuple[str, ...] = (), network: str = "app") -> Endpoint:
    return Endpoint(
        id=f"{name}-{network}",
        network_id=network,
        network_name=network,
        container_id=name * 20,
        container_name=name,
        interface="eth0",
        link="",
        mac="",
        ipv4=ip_interface(f"10.0.0.{number}/24"),  # type: ignore[arg-type]
        dns_names=(name, *aliases),
    )


@pytest.fixture
def zone() -> Zone:
    app, back = NetworkNames("app"), NetworkNames("back")
    app.add(endpoint("web", 2))
    for number in (3, 4, 5):
        app.add(endpoint(f"api{number}", number, ("api",)))
    back.add(endpoint("db", 9, network="back"))
    back.add(endpoint("web", 10, network="back"))
    return Zone([app, back], {"store": "db"})


def test_the_table_answers(zone: Zone) -> None:
    assert zone.answer(question("WEB")) == [ip_address("10.0.0.2")], "the first network wins, case does not matter"
    assert zone.answer(question("web.back")) == [ip_address("10.0.0.10")]
    assert zone.answer(question("store")) == [ip_address("10.0.0.9")]
    assert zone.answer(question("web", dns.TYPE_AAAA)) == []
    assert zone.answer(question("example.com")) is None
    assert zone.answer(question("2.0.0.10.in-addr.arpa", dns.TYPE_PTR)) == ["web.app"]
    assert zone.answer(question("77.0.0.10.in-addr.arpa", dns.TYPE_PTR)) is None


def test_equals_are_answered_in_turn(zone: Zone) -> None:
    firsts = {zone.answer(question("api"))[0] for _ in range(3)}  # type: ignore[index]
    assert firsts == {ip_address(f"10.0.0.{n}") for n in (3, 4, 5)}


def test_names_go_with_their_endpoint(zone: Zone) -> None:
    for number in (3, 4, 5):
        zone.networks[0].remove(endpoint(f"api{number}", number, ("api",)))
    assert zone.answer(question("api")) is None
    assert zone.answer(question("3.0.0.10.in-addr.arpa", dns.TYPE_PTR)) is None


@given(st.ip_addresses())
def test_reverse_names(address: Any) -> None:
    assert dns.reverse_address(address.reverse_pointer) == address


@pytest.mark.parametrize("name", ["1.2.in-addr.arpa", "x.ip6.arpa", "999.0.0.10.in-addr.arpa", "web"])
def test_what_is_no_reverse_name(name: str) -> None:
    assert dns.reverse_address(name) is None
