"""Ten thousand joins, leaves and daemon deaths: no address belongs to two containers, and none is lost."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import pytest

from corten.errors import Unavailable
from corten.network.endpoints import join
from corten.network.ledger import Ledger
from corten.network.model import EndpointSpec, IpamConfig, Network


class DyingFacts:
    """Facts in memory; when told so, the daemon dies in the middle of a write, before or after it took effect."""

    def __init__(self) -> None:
        self.kinds: dict[str, dict[str, dict[str, Any]]] = {}
        self.dies = ""

    def _die(self, when: str) -> None:
        if self.dies == when:
            self.dies = ""
            raise KeyboardInterrupt

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        return self.kinds.get(kind, {}).get(key)

    def put(self, kind: str, key: str, body: dict[str, Any]) -> None:
        self._die("before")
        self.kinds.setdefault(kind, {})[key] = body
        self._die("after")

    def delete(self, kind: str, key: str) -> None:
        self._die("before")
        self.kinds.get(kind, {}).pop(key, None)
        self._die("after")

    def items(self, kind: str) -> dict[str, dict[str, Any]]:
        return dict(self.kinds.get(kind, {}))

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


def test_no_address_twice_over_ten_thousand_operations() -> None:
    chance = random.Random(20)
    facts = DyingFacts()
    ledger = Ledger(facts)
    ipam = (IpamConfig.parse("10.1.0.0/25", gateway="10.1.0.1"), IpamConfig.parse("fd00::/64", gateway="fd00::1"))
    network = Network("1" * 64, "app", "bridge", 0.0, ipam=ipam, enable_ipv6=True)
    ledger.add_network(network)
    full = 0
    for number in range(10_000):
        facts.dies = chance.choice(("before", "after")) if chance.random() < 0.02 else ""
        try:
            present = ledger.on_network(network.id)
            if present and chance.random() < 0.45:
                ledger.drop([chance.choice(present)])
            else:
                join(ledger, network, f"{number:064x}", EndpointSpec(container_name=f"c{number}"))
        except Unavailable:
            full += 1
            for endpoint in ledger.on_network(network.id)[::2]:
                ledger.drop([endpoint])
        except KeyboardInterrupt:
            facts.dies = ""
            ledger = Ledger(facts)  # the daemon is back
            ledger.load()
        facts.dies = ""
        if number % 50 == 0:
            check(ledger, network)
    assert full, "the subnet was never exhausted"
    check(ledger, network)


def check(ledger: Ledger, network: Network) -> None:
    endpoints = ledger.on_network(network.id)
    addresses = [address for each in endpoints for address in (each.ipv4, each.ipv6)]
    assert len(set(addresses)) == len(addresses)
    for pool in ledger._pools[network.id]:
        assert pool.in_use == len(endpoints)
    names = ledger.names.get(network.id)
    assert len(names.by_address if names else {}) == len(addresses)


def test_a_full_network_says_so() -> None:
    ledger = Ledger(DyingFacts())
    network = Network("1" * 64, "tiny", "bridge", 0.0, ipam=(IpamConfig.parse("10.1.0.0/30", gateway="10.1.0.1"),))
    ledger.add_network(network)
    join(ledger, network, "a" * 64, EndpointSpec())
    with pytest.raises(Unavailable, match="no available IPv4 addresses on this network's address pools: tiny"):
        join(ledger, network, "b" * 64, EndpointSpec())
