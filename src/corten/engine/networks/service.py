"""Operations on networks as the API offers them.

Owns: lookup, listing, the events, and the words in which a removal is refused.  Knows nothing of links and rules
(network/service.py) nor of how a container keeps its settings: that is behind ``Members``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from corten.api import times
from corten.api.filters import Filters
from corten.engine.events import Events
from corten.engine.networks import request, view
from corten.errors import CortenError, Denied, NotFound
from corten.network.model import Network
from corten.network.service import Networking

PRUNE_FILTERS = frozenset({"label", "label!", "until"})


class Members(Protocol):
    """The containers' side of a connection: engine/containers keeps settings and knows who runs."""

    async def connect_network(self, container: str, network: Network, settings: Mapping[str, Any]) -> str:
        """Add the network to the container, now if it runs, else when it starts; gives the container's id."""
        ...

    def on_host_network(self) -> Sequence[tuple[str, str]]:
        """Id and name of each running container that shares the host's network."""
        ...

    async def disconnect_network(self, container: str, network: Network, *, force: bool) -> str:
        """Take the network away; gives the container's id."""
        ...


class NetworkService:
    """All networks, by Docker's rules."""

    def __init__(self, networking: Networking, members: Members, events: Events) -> None:
        self._networking = networking
        self._members = members
        self._events = events

    def find(self, name: str) -> Network:
        """By name, id or the beginning of an id; raises NotFound."""
        return self._networking.get(name)

    def list(self, filters: Filters, *, detailed: bool = False) -> list[dict[str, Any]]:
        """Those that the filters keep; ``detailed`` with their containers, as before API 1.28."""
        networks = self._networking.all()
        in_use = {item.id: bool(self._networking.endpoints(item.id)) for item in networks}
        kept = view.keep(networks, filters, in_use)
        return [view.network(item, self._networking.endpoints(item.id) if detailed else ()) for item in kept]

    def inspect(self, name: str, *, scope: str = "", verbose: bool = False) -> dict[str, Any]:
        """One network with the containers on it."""
        found = self.find(name)
        if scope and scope != view.SCOPE:
            raise NotFound(f"network {name} not found")
        body = view.network(found, self._networking.endpoints(found.id))
        return body | {"Services": {}} if verbose else body

    async def create(self, body: Mapping[str, Any], *, reads_ipv4: bool = True) -> dict[str, Any]:
        """Make a network; names are unique, whatever CheckDuplicate says."""
        made = await self._networking.create(request.parse(body, reads_ipv4=reads_ipv4))
        self._publish("create", made)
        return {"Id": made.id, "Warning": ""}

    async def remove(self, name: str) -> None:
        """Take a network away that nobody is on."""
        found = self.find(name)
        if found.is_predefined:
            raise Denied(f"{found.name} is a pre-defined network and cannot be removed")
        endpoints = self._networking.endpoints(found.id)
        if endpoints:
            names = ", ".join(f'name:"{item.container_name}" id:"{item.id[:12]}"' for item in endpoints)
            raise Denied(
                f"error while removing network: network {found.name} id {found.id} has active endpoints ({names})"
            )
        if found.config_only and any(each.config_from in (found.name, found.id) for each in self._networking.all()):
            raise Denied(f'error while removing network: configuration network "{found.name}" is in use')
        await self._networking.remove(found.id)
        self._publish("destroy", found)

    async def connect(self, name: str, container: str, settings: Mapping[str, Any]) -> None:
        """Put a container on a network."""
        found = self.find(name)
        container_id = await self._members.connect_network(container, found, settings)
        self._publish("connect", found, container_id)

    async def disconnect(self, name: str, container: str, *, force: bool) -> None:
        """Take a container off a network."""
        found = self.find(name)
        container_id = await self._members.disconnect_network(container, found, force=force)
        self._publish("disconnect", found, container_id)

    async def prune(self, filters: Filters) -> Sequence[str]:
        """Remove what no container is on; gives the names."""
        filters.only(PRUNE_FILTERS)
        until = times.until(filters.get("until"))
        gone = []
        for item in self._networking.all():
            if item.is_predefined or item.config_only or self._networking.endpoints(item.id):
                continue
            if (until is not None and item.created > until) or not filters.labels(item.labels):
                continue
            try:
                await self.remove(item.id)
            except CortenError:
                continue  # somebody joined it in between
            gone.append(item.name)
        self._events.publish("network", "prune", "", {"reclaimed": "0"})
        return gone

    def exposures(self) -> Sequence[dict[str, Any]]:
        """What of the containers is reachable from outside their networks, and from where."""
        found = [view.exposure(each) for each in self._networking.exposures()]
        return found + [view.host_exposure(*each) for each in self._members.on_host_network()]

    def _publish(self, action: str, network: Network, container_id: str = "") -> None:
        attributes = {"name": network.name, "type": network.driver}
        if container_id:
            attributes["container"] = container_id
        self._events.publish("network", action, network.id, attributes)
