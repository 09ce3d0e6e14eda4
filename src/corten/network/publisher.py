"""Leads published ports to containers: held sockets, rules and proxies kept in step.

Owns: what is published now.  Written down by the ledger before the rules are made.  Read next: ``ports.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address

from corten.errors import Internal
from corten.network.exposures import Exposure, of_publication
from corten.network.firewall import Forward
from corten.network.ledger import Ledger, Publication
from corten.network.model import OPTION_HOST_BINDING, Endpoint, PortBinding
from corten.network.ports import LONGEST_HELD_RANGE, Held, PortHolder, Target, forwards
from corten.network.proxy import TcpProxy, UdpProxy


class Publisher:
    """The published ports of one daemon."""

    def __init__(self, ledger: Ledger, *, default_host: str, host_firewall: bool, ipv6: bool) -> None:
        self._ledger = ledger
        self._holder = PortHolder()
        self._default_host = default_host
        self._host_firewall = host_firewall
        self._ipv6 = ipv6
        self._reserved: dict[str, list[PortBinding]] = {}
        self._proxies: dict[str, list[TcpProxy | UdpProxy]] = {}
        self._forwards: dict[str, frozenset[Forward]] = {}

    def close(self) -> None:
        """Give up sockets and proxies; records stay."""
        for proxies in self._proxies.values():
            for proxy in proxies:
                proxy.close()
        self._proxies.clear()
        self._holder.close()

    def reserve(
        self, container_id: str, name: str, bindings: Sequence[PortBinding], *, hold: bool = True
    ) -> list[PortBinding]:
        """Take ports, all or none.  ``hold``: by sockets, not only in our books."""
        hold = hold or self._host_firewall
        try:
            host = self._host_for(container_id)
            taken = self._holder.take(container_id, bindings, host, ipv6=self._ipv6, hold=hold)
        except Internal as error:
            raise Internal(
                f"driver failed programming external connectivity on endpoint {name} "
                f"({self._endpoint_id(container_id)}): {error.message}"
            ) from None
        self._reserved.setdefault(container_id, []).extend(taken)
        return taken

    def give_back(self, container_id: str, reserved: Sequence[PortBinding]) -> None:
        """Give up ports that were reserved and not yet published."""
        going = set(reserved)
        self._reserved[container_id] = [each for each in self._reserved.get(container_id, []) if each not in going]
        self._holder.give_back(container_id, reserved)

    def publish(self, container_id: str, name: str, bindings: Sequence[PortBinding]) -> list[PortBinding]:
        """Write down what was reserved (now, if it was not before) as published; the caller then makes the rules."""
        taken = self._reserved.pop(container_id, None)
        if taken is None:
            taken = self.reserve(container_id, name, bindings, hold=len(bindings) <= LONGEST_HELD_RANGE)
            self._reserved.pop(container_id, None)
        before = self._ledger.publications.get(container_id)
        everything = (*(before.bindings if before else ()), *taken)
        if everything:
            self._ledger.publish(Publication(container_id, name, everything))
            self.serve(container_id)
        return taken

    def exchange(
        self,
        container_id: str,
        name: str,
        removed: Sequence[PortBinding],
        added: Sequence[PortBinding],
        also: Callable[[], None],
    ) -> list[PortBinding]:
        """Withdraw some ports and publish others, all or nothing; what ``also`` writes down belongs to it."""
        before = self._ledger.publications.get(container_id)
        going = set(removed)
        kept = tuple(each for each in before.bindings if each not in going) if before else ()
        self._stop_proxies(container_id)
        self._holder.give_back(container_id, removed)
        taken: list[PortBinding] = []
        try:
            taken = self.reserve(container_id, name, added, hold=len(added) <= LONGEST_HELD_RANGE)
            with self._ledger.together():
                if kept or taken:
                    self._ledger.publish(Publication(container_id, name, (*kept, *taken)))
                else:
                    self._ledger.unpublish(container_id)
                also()
        except BaseException:
            self._holder.give_back(container_id, taken)
            self._ledger.put_back(container_id, before)
            hold = self._host_firewall or len(removed) <= LONGEST_HELD_RANGE * 2  # two hosts each
            self._holder.take(container_id, removed, "", ipv6=self._ipv6, hold=hold)
            raise
        finally:
            self._reserved.pop(container_id, None)
            self.serve(container_id)
        return taken

    def unpublish(self, container_id: str) -> None:
        """Withdraw every port of a container."""
        self._stop_proxies(container_id)
        self._holder.give_back(container_id)
        self._reserved.pop(container_id, None)
        self._ledger.unpublish(container_id)
        self.serve(container_id)

    def restore(self) -> list[str]:
        """After a restart: hold and serve again.  Returns what could not be held; its rules are made all the same."""
        problems = []
        for publication in list(self._ledger.publications.values()):
            hold = self._host_firewall or len(publication.bindings) <= LONGEST_HELD_RANGE * 2  # two hosts each
            for binding in publication.bindings:
                try:
                    self._holder.take(publication.container_id, [binding], "", ipv6=self._ipv6, hold=hold)
                except Internal as error:
                    problems.append(f"{publication.name}: {error.message}")
            self.serve(publication.container_id)
        return problems

    def serve(self, container_id: str) -> None:
        """Lead the ports of a container to the address that it has now.  The caller then makes the rules."""
        self._stop_proxies(container_id)
        publication = self._ledger.publications.get(container_id)
        if publication is None:
            self._forwards.pop(container_id, None)
            return
        target = self.target(container_id)
        wanted = forwards(publication.bindings, target)
        self._forwards[container_id] = frozenset(each for each in wanted if each.direct or not self._host_firewall)
        proxies = [self._proxy(held, target) for held in self._holder.held(container_id)]
        found = [proxy for proxy in proxies if proxy is not None]
        if found:
            self._proxies[container_id] = found

    def target(self, container_id: str) -> Target:
        """Where published traffic goes: the endpoint that has the default gateway, for each address family."""
        candidates = [each for each in self._ledger.of_container(container_id) if self._can_publish(each)]
        first4 = next((each for each in candidates if each.ipv4), None)
        first6 = next((each for each in candidates if each.ipv6), None)
        return Target(
            ipv4=first4.ipv4.ip if first4 and first4.ipv4 else None,
            ipv6=first6.ipv6.ip if first6 and first6.ipv6 else None,
            routed4=bool(first4) and self._is_routed(first4, 4),
            routed6=bool(first6) and self._is_routed(first6, 6),
        )

    def forwards(self) -> frozenset[Forward]:
        """All forwards, for the firewall; in host-firewall mode only direct ones: the proxies do the work."""
        return frozenset[Forward]().union(*self._forwards.values())

    def exposures(self) -> list[Exposure]:
        """How far each published port is reachable."""
        return [
            exposure
            for each in self._ledger.publications.values()
            for exposure in of_publication(each, self.target(each.container_id), host_firewall=self._host_firewall)
        ]

    def _can_publish(self, endpoint: Endpoint) -> bool:
        network = self._ledger.networks[endpoint.network_id]
        return network.driver == "bridge" and not network.internal

    def _is_routed(self, endpoint: Endpoint | None, version: int) -> bool:
        return endpoint is not None and self._ledger.networks[endpoint.network_id].gateway_mode(version) == "routed"

    def _host_for(self, container_id: str) -> str:
        """docker: a network may name the host address that its containers' ports are bound to."""
        for endpoint in self._ledger.of_container(container_id):
            if self._can_publish(endpoint):
                host = self._ledger.networks[endpoint.network_id].options.get(OPTION_HOST_BINDING, "")
                # docker: the default network says 0.0.0.0 here and its ports are bound to [::] all the same
                return host if host not in ("", "0.0.0.0") else self._default_host
        return self._default_host

    def _endpoint_id(self, container_id: str) -> str:
        endpoints = self._ledger.of_container(container_id)
        return endpoints[0].id if endpoints else container_id

    def _proxy(self, held: Held, target: Target) -> TcpProxy | UdpProxy | None:
        host = ip_address(held.binding.host_ip)
        same, other = (target.ipv4, target.ipv6) if host.version == 4 else (target.ipv6, target.ipv4)
        address = same or other
        if held.sock is None or address is None:
            return None
        if held.binding.protocol == "tcp":
            return TcpProxy(held.sock, address, held.binding.container_port)
        if held.binding.protocol == "udp":
            return UdpProxy(held.sock, address, held.binding.container_port)
        return None

    def _stop_proxies(self, container_id: str) -> None:
        for proxy in self._proxies.pop(container_id, []):
            proxy.close()
