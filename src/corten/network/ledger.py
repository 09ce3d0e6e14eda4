"""What exists: networks, endpoints and published ports, in memory and in the facts store.

Owns: the records and the address pools derived from them, finding by name, and the hand-out of addresses.  Every
change is written down before it is used, so that after a crash no address is handed out twice.  Knows nothing of
links and rules.

    facts:  network/<id>           Network
            endpoint/<id>          Endpoint (a container's, for as long as it runs or holds an address)
            publication/<container> the container's name and its resolved PortBindings
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from corten.errors import Conflict, Denied, Invalid, NotFound, Unavailable
from corten.network.base import FactsPort
from corten.network.dns import NetworkNames
from corten.network.model import Endpoint, IPAddress, Network, PortBinding
from corten.network.plan import by_priority
from corten.network.pools import AddressPool

NETWORK, ENDPOINT, PUBLICATION = "network", "endpoint", "publication"


@dataclass(frozen=True, slots=True)
class Publication:
    """The published ports of one container."""

    container_id: str
    name: str
    bindings: tuple[PortBinding, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "container_id": self.container_id,
            "name": self.name,
            "bindings": [binding.to_json() for binding in self.bindings],
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Publication:
        bindings = tuple(PortBinding.from_json(each) for each in body["bindings"])
        return cls(body["container_id"], body["name"], bindings)


def new_id() -> str:
    return secrets.token_hex(32)


class Ledger:
    """The records of one daemon."""

    def __init__(self, facts: FactsPort) -> None:
        self._facts = facts
        self.networks: dict[str, Network] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.publications: dict[str, Publication] = {}
        self._pools: dict[str, list[AddressPool]] = {}
        self._by_container: dict[str, dict[str, Endpoint]] = {}
        self._by_network: dict[str, dict[str, Endpoint]] = {}
        self.names: dict[str, NetworkNames] = {}  # of networks whose containers find one another by name

    def load(self) -> None:
        """Take up everything that was written down."""
        for body in self._facts.items(NETWORK).values():
            network = Network.from_json(body)
            self.networks[network.id] = network
            self._pools[network.id] = _pools(network)
        for key, body in self._facts.items(ENDPOINT).items():
            endpoint = Endpoint.from_json(body)
            if endpoint.network_id not in self.networks:  # the crash was in the middle of a network's removal
                self._facts.delete(ENDPOINT, key)
                continue
            self._keep_addresses(endpoint)
            self._index(endpoint)
        for container_id, body in self._facts.items(PUBLICATION).items():
            self.publications[container_id] = Publication.from_json(body)

    # ── networks ───────────────────────────────────────────────────────────────────────────────────

    def find(self, name: str) -> Network:
        """By name, by id, or by an unambiguous beginning of an id: in this order, as Docker does."""
        if name in self.networks:
            return self.networks[name]
        for network in self.networks.values():
            if network.name == name:
                return network
        found = [network for key, network in self.networks.items() if name and key.startswith(name)]
        if len(found) > 1:
            raise Invalid(f"network {name} is ambiguous ({len(found)} matches found based on ID prefix)")
        if not found:
            raise NotFound(f"network {name} not found")
        return found[0]

    def add_network(self, network: Network) -> None:
        if any(other.name == network.name for other in self.networks.values()):
            raise Conflict(f"network with name {network.name} already exists")
        pools = _pools(network)
        self._facts.put(NETWORK, network.id, network.to_json())
        self.networks[network.id] = network
        self._pools[network.id] = pools

    def replace_network(self, network: Network) -> None:
        """Write a predefined network again whose settings changed; its endpoints keep their addresses."""
        self._facts.put(NETWORK, network.id, network.to_json())
        self.networks[network.id] = network
        self._pools[network.id] = _pools(network)
        for endpoint in self.on_network(network.id):
            self._keep_addresses(endpoint)

    def remove_network(self, network: Network) -> None:
        self.refuse_active(network)
        self._facts.delete(NETWORK, network.id)
        del self.networks[network.id]
        del self._pools[network.id]
        self._by_network.pop(network.id, None)
        self.names.pop(network.id, None)

    def refuse_active(self, network: Network) -> None:
        active = self.on_network(network.id)
        if active:
            names = ", ".join(f'name:"{each.container_name}" id:"{each.id[:12]}"' for each in active)
            raise Denied(
                f"error while removing network: network {network.name} has active endpoints ({names})",
                hint="disconnect or stop these containers first",
            )

    # ── endpoints ──────────────────────────────────────────────────────────────────────────────────

    def on_network(self, network_id: str) -> list[Endpoint]:
        return list(self._by_network.get(network_id, {}).values())

    def of_container(self, container_id: str) -> list[Endpoint]:
        """Best default gateway first."""
        return by_priority(self._by_container.get(container_id, {}).values())

    def endpoint(self, network_id: str, container_id: str) -> Endpoint | None:
        return next((each for each in self.of_container(container_id) if each.network_id == network_id), None)

    def allocate(self, network: Network, version: int, wanted: IPAddress | None) -> tuple[IPAddress, int]:
        """Hand out an address and its prefix length.  Give it back with ``give_back`` unless an endpoint keeps it."""
        pools = [pool for pool in self._pools[network.id] if pool.subnet.version == version]
        if wanted is not None:
            pool = next((pool for pool in pools if wanted in pool.subnet), None)
            if pool is None:
                raise Invalid(
                    f"invalid endpoint settings:\nno configured subnet or ip-range contain the IP address {wanted}"
                )
            pool.take(wanted)
            return wanted, pool.subnet.prefixlen
        for pool in pools:
            address = pool.allocate()
            if address is not None:
                return address, pool.subnet.prefixlen
        raise Unavailable(
            f"no available IPv{version} addresses on this network's address pools: {network.name} ({network.id})"
        )

    def give_back(self, network_id: str, addresses: Iterable[IPAddress]) -> None:
        for address in addresses:
            for pool in self._pools[network_id]:
                if address in pool.subnet:
                    pool.release(address)

    def put(self, endpoint: Endpoint) -> None:
        """Write an endpoint down, new or changed."""
        self._facts.put(ENDPOINT, endpoint.id, endpoint.to_json())
        self._index(endpoint)

    def drop(self, endpoints: Sequence[Endpoint]) -> None:
        """Forget endpoints and give their addresses back."""
        if not endpoints:
            return
        with self._facts.transaction():
            for endpoint in endpoints:
                self._facts.delete(ENDPOINT, endpoint.id)
        for endpoint in endpoints:
            self.endpoints.pop(endpoint.id, None)
            if endpoint.network_id in self.names:
                self.names[endpoint.network_id].remove(endpoint)
            for index, key in ((self._by_container, endpoint.container_id), (self._by_network, endpoint.network_id)):
                members = index.get(key, {})
                members.pop(endpoint.id, None)
                if not members:
                    index.pop(key, None)
            self.give_back(endpoint.network_id, _ips(endpoint))

    def _index(self, endpoint: Endpoint) -> None:
        self._name(endpoint)
        self.endpoints[endpoint.id] = endpoint
        self._by_container.setdefault(endpoint.container_id, {})[endpoint.id] = endpoint
        self._by_network.setdefault(endpoint.network_id, {})[endpoint.id] = endpoint

    def _name(self, endpoint: Endpoint) -> None:
        before = self.endpoints.get(endpoint.id)
        network = self.networks[endpoint.network_id]
        if network.has_names and (before is None or before.dns_names != endpoint.dns_names):
            names = self.names.setdefault(network.id, NetworkNames(network.name))
            if before:
                names.remove(before)
            names.add(endpoint)

    def _keep_addresses(self, endpoint: Endpoint) -> None:
        """Mark an endpoint's addresses as handed out.

        Where the default bridge got another subnet they are in none, or are its gateway now: the container keeps them
        until it stops.
        """
        for address in _ips(endpoint):
            for pool in self._pools[endpoint.network_id]:
                if address in pool.subnet:
                    with contextlib.suppress(Denied):
                        pool.take(address)

    # ── published ports ────────────────────────────────────────────────────────────────────────────

    def publish(self, publication: Publication) -> None:
        self._facts.put(PUBLICATION, publication.container_id, publication.to_json())
        self.publications[publication.container_id] = publication

    def together(self) -> AbstractContextManager[None]:
        """All that is written down inside, or nothing; see ``put_back`` for what is in memory."""
        return self._facts.transaction()

    def put_back(self, container_id: str, before: Publication | None) -> None:
        """After a transaction that failed: in memory too, things are as they were."""
        self.publications.pop(container_id, None)
        if before:
            self.publications[container_id] = before

    def unpublish(self, container_id: str) -> None:
        if self.publications.pop(container_id, None) is not None:
            self._facts.delete(PUBLICATION, container_id)

    def containers(self) -> set[str]:
        """Every container that holds anything here."""
        return set(self._by_container) | set(self.publications)


def _ips(endpoint: Endpoint) -> list[IPAddress]:
    return [address.ip for address in (endpoint.ipv4, endpoint.ipv6) if address]


def _pools(network: Network) -> list[AddressPool]:
    found = []
    for config in network.ipam:
        reserved = [*config.aux.values(), *([config.gateway] if config.gateway else [])]
        found.append(AddressPool(config.subnet, config.ip_range, reserved))
    return found
