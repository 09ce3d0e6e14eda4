"""Addresses: none is handed out twice, all of them are handed out, automatic subnets avoid what is there."""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corten.errors import Conflict, Denied, Invalid
from corten.network.pools import AddressPool, choose_subnet, first_host, refuse_overlap, sources


def pool(text: str, **options: Any) -> AddressPool:
    return AddressPool(ip_network(text), **options)


def test_lowest_free_first_as_docker_does() -> None:
    addresses = pool("10.0.0.0/29", reserved=[ip_address("10.0.0.1")])
    given = [addresses.allocate() for _ in range(5)]
    assert [str(each) for each in given] == [f"10.0.0.{n}" for n in range(2, 7)]
    assert addresses.allocate() is None
    addresses.release(ip_address("10.0.0.4"))
    addresses.release(ip_address("10.0.0.3"))
    assert str(addresses.allocate()) == "10.0.0.3"


def test_range_limits_what_is_automatic_not_what_is_asked_for() -> None:
    addresses = pool("10.0.0.0/24", ip_range=ip_network("10.0.0.128/30"))
    assert [str(addresses.allocate()) for _ in range(4)] == [f"10.0.0.{n}" for n in range(128, 132)]
    assert addresses.allocate() is None
    addresses.take(ip_address("10.0.0.9"))
    addresses.release(ip_address("10.0.0.9"))
    assert addresses.allocate() is None, "an address outside the range does not become automatic by being given back"


def test_refusals() -> None:
    addresses = pool("10.0.0.0/24", reserved=[ip_address("10.0.0.1")])
    for taken in ("10.0.0.1", "10.0.0.0", "10.0.0.255"):
        with pytest.raises(Denied, match="Address already in use"):
            addresses.take(ip_address(taken))
    with pytest.raises(Invalid, match="no configured subnet"):
        addresses.take(ip_address("10.0.1.1"))


@pytest.mark.parametrize(
    ("subnet", "count"), [("10.0.0.0/31", 2), ("10.0.0.0/32", 1), ("10.0.0.0/30", 2), ("fd00::/127", 2)]
)
def test_smallest_subnets(subnet: str, count: int) -> None:
    addresses = pool(subnet)
    assert len({addresses.allocate() for _ in range(count)}) == count
    assert addresses.allocate() is None


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["10.0.0.0/26", "fd00:1::/64", "10.0.0.0/30"]))
def test_no_address_is_handed_out_twice(seed: int, subnet: str) -> None:
    """A model over random operations: allocate, take a given one, give back, give back twice."""
    chance = random.Random(seed)
    addresses, held = pool(subnet, reserved=[ip_network(subnet)[1]]), set[Any]()
    for _ in range(400):
        what = chance.random()
        if what < 0.5:
            address = addresses.allocate()
            assert address not in held
            assert address is None or address != ip_network(subnet)[1]
            if address is not None:
                held.add(address)
        elif what < 0.65:
            address = ip_network(subnet)[chance.randrange(60 if ":" in subnet else ip_network(subnet).num_addresses)]
            try:
                addresses.take(address)
            except Denied:
                continue
            assert address not in held
            held.add(address)
        elif held:
            address = chance.choice(sorted(held))
            held.discard(address)
            addresses.release(address)
            if what > 0.95:
                addresses.release(address)
        assert addresses.in_use == len(held)


def test_ten_thousand_operations() -> None:
    chance = random.Random(4)
    addresses, held = pool("10.9.0.0/16"), set[Any]()
    for _ in range(10_000):
        if held and chance.random() < 0.4:
            addresses.release(held.pop())
        else:
            address = addresses.allocate()
            assert address is not None
            assert address not in held
            held.add(address)


def test_automatic_subnets_avoid_routes_and_networks() -> None:
    found = sources((), "")
    assert str(choose_subnet(4, found, [])) == "172.17.0.0/16"
    occupied = [ip_network("172.17.5.0/24"), ip_network("172.16.0.0/12")]
    assert str(choose_subnet(4, found, occupied)) == "192.168.0.0/20"
    occupied.append(ip_network("192.168.0.0/16"))
    with pytest.raises(Conflict, match="fully subnetted"):
        choose_subnet(4, found, occupied)
    assert choose_subnet(6, found, []).prefixlen == 64
    assert choose_subnet(6, found, []).is_private


def test_two_daemons_have_different_ipv6_prefixes() -> None:
    assert choose_subnet(6, sources((), "a"), []) != choose_subnet(6, sources((), "b"), [])


def test_overlap_and_gateway() -> None:
    with pytest.raises(Denied, match="Pool overlaps"):
        refuse_overlap(ip_network("10.1.0.0/16"), [ip_network("10.0.0.0/8")])
    refuse_overlap(ip_network("10.1.0.0/16"), [ip_network("fd00::/8")])
    assert str(first_host(ip_network("10.1.0.0/16"), ip_network("10.1.4.0/24"))) == "10.1.4.0"
    assert str(first_host(ip_network("10.1.0.0/16"), None, [ip_address("10.1.0.1")])) == "10.1.0.2"
