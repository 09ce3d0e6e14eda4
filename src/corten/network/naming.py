"""Which container is served which names.

Owns: one ``Resolver`` for each container on a network with names, made from the ledger.  Read next: ``resolver.py``.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

from corten.network.dns import Zone
from corten.network.ledger import Ledger
from corten.network.resolver import Forwarder, HostServers, Resolver


class Naming:
    """The embedded DNS of all containers."""

    def __init__(self, ledger: Ledger, host_resolv_conf: Path) -> None:
        self._ledger = ledger
        self._host_servers = HostServers(host_resolv_conf)
        self._forwarder = Forwarder()
        self._resolvers: dict[str, Resolver] = {}

    def is_wanted(self, container_id: str) -> bool:
        """Whether a container is to be served and is not yet."""
        networks = self._ledger.networks
        named = any(networks[each.network_id].has_names for each in self._ledger.of_container(container_id))
        return named and container_id not in self._resolvers

    def adopt(self, container_id: str, udp: socket.socket, tcp: socket.socket) -> None:
        """Serve a container on sockets that ``resolver.bind`` has put in their places."""
        zone = Zone([])
        self._resolvers[container_id] = Resolver(
            lambda: self._zone(container_id, zone), lambda: self._servers(container_id), self._forwarder, [udp, tcp]
        )

    def stop(self, container_id: str) -> None:
        found = self._resolvers.pop(container_id, None)
        if found:
            found.stop()

    def close(self) -> None:
        for container_id in list(self._resolvers):
            self.stop(container_id)

    def _zone(self, container_id: str, zone: Zone) -> Zone:
        """The container's view as it is now.  A dozen dictionary look-ups: cheaper than keeping it up to date."""
        endpoints = self._ledger.of_container(container_id)
        zone.networks = [
            self._ledger.names[each.network_id] for each in endpoints if each.network_id in self._ledger.names
        ]
        zone.links = {alias.lower(): name for each in endpoints for name, alias in each.links}
        return zone

    def _servers(self, container_id: str) -> Sequence[str]:
        """Where to forward to: nowhere for a container that is on internal networks only."""
        endpoints = self._ledger.of_container(container_id)
        if all(self._ledger.networks[each.network_id].internal for each in endpoints):
            return ()
        given = next((each.dns for each in endpoints if each.dns), ())
        return given or self._host_servers()
