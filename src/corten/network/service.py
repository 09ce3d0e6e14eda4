"""The operations on networks, endpoints and published ports.

Owns: the order in which records are written and the kernel is changed.  Knows nothing of Docker's JSON or of
containers beyond their id and name.  Read next: ``ledger.py`` (what exists), ``plan.py`` and ``apply.py`` (links),
``firewall.py`` (rules), ``ports.py`` (published ports), ``resolver.py`` (names).

    open() ........ default bridge, forwarding, rules; everything else again from the facts
    connect() ..... between a task's create and start, once for each network; disconnect() and release() undo it
    reserve() ..... before anything starts: takes the host ports; publish() adds the rules once addresses are known
    restore() ..... after a daemon restart, once for each container found running; then reconcile()
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from corten.errors import NotImplementedYet
from corten.network.base import FactsPort, Sandbox
from corten.network.model import Endpoint, EndpointSpec, Network, NetworkSpec, PortBinding


class Networking:
    """All networks of one daemon."""

    def __init__(
        self,
        facts: FactsPort,
        *,
        instance: str = "",  # distinguishes daemons on one host; empty for the default one
        default_bridge: str = "corten0",
        bip: str | None = None,  # "192.168.5.1/24"; None: a free automatic pool
        fixed_cidr: str | None = None,
        table: str = "corten",
        address_pools: Sequence[tuple[str, int]] = (),  # (base, prefix length); empty: Docker's default pools
        mtu: int = 1500,
        icc: bool = True,
        ipv6: bool = False,  # on the default bridge
        default_host_ip: str = "",
        host_firewall: bool = False,
        host_resolv_conf: Path = Path("/etc/resolv.conf"),
        on_repair: Callable[[str], None] | None = None,
    ) -> None:
        raise NotImplementedYet("networks")

    async def open(self) -> None:
        """Make or repair the default bridge, forwarding and rules; take up all facts again."""
        raise NotImplementedYet("networks")

    async def close(self) -> None:
        """Close the daemon's side only: links, addresses and rules stay for the containers that run on."""
        raise NotImplementedYet("networks")

    async def uninstall(self) -> None:
        """Take away every rule and bridge of this daemon (tests, and ``cortend --uninstall``)."""
        raise NotImplementedYet("networks")

    def get(self, name: str) -> Network:
        """Find by name, id, or unambiguous prefix of an id."""
        raise NotImplementedYet("networks")

    def all(self) -> list[Network]:
        raise NotImplementedYet("networks")

    def endpoints(self, network_id: str) -> list[Endpoint]:
        """The containers that are on a network now."""
        raise NotImplementedYet("networks")

    def endpoints_of(self, container_id: str) -> list[Endpoint]:
        """Best default gateway first."""
        raise NotImplementedYet("networks")

    async def create(self, spec: NetworkSpec) -> Network:
        raise NotImplementedYet("networks")

    async def remove(self, name: str) -> Network:
        """Raises Denied for predefined networks and for ones with active endpoints."""
        raise NotImplementedYet("networks")

    def check(self, network: str, spec: EndpointSpec) -> Network:
        """Raise what ``connect`` would raise for this request alone; for containers that do not run yet."""
        raise NotImplementedYet("networks")

    async def connect(self, network: str, container_id: str, sandbox: Sandbox | None, spec: EndpointSpec) -> Endpoint:
        """Give addresses and, where a sandbox is given, plug the interface in."""
        raise NotImplementedYet("networks")

    async def plug(self, container_id: str, sandbox: Sandbox) -> list[Endpoint]:
        """Plug in every endpoint of a container that was connected without a sandbox."""
        raise NotImplementedYet("networks")

    async def disconnect(self, network: str, container_id: str, sandbox: Sandbox | None) -> Endpoint:
        raise NotImplementedYet("networks")

    async def release(self, container_id: str) -> None:
        """The container stopped: forget its endpoints and ports.  Its links go with its namespace."""
        raise NotImplementedYet("networks")

    async def rename(self, container_id: str, container_name: str) -> None:
        """Let the names follow a renamed container."""
        raise NotImplementedYet("networks")

    async def reserve(self, container_id: str, name: str, bindings: Sequence[PortBinding]) -> list[PortBinding]:
        """Take host ports, all or none; returns them resolved, one for each host address."""
        raise NotImplementedYet("networks")

    async def publish(self, container_id: str, name: str, bindings: Sequence[PortBinding]) -> list[PortBinding]:
        """Reserve (unless done) and lead the ports to the container.  Adds to what is published already."""
        raise NotImplementedYet("networks")

    async def unpublish(self, container_id: str, bindings: Sequence[PortBinding] | None = None) -> None:
        """Withdraw some (as returned by ``publish``) or all ports of a container."""
        raise NotImplementedYet("networks")

    def published(self, container_id: str) -> list[PortBinding]:
        raise NotImplementedYet("networks")

    async def restore(self, container_id: str, sandbox: Sandbox) -> None:
        """After a daemon restart: serve names again inside a container that runs."""
        raise NotImplementedYet("networks")

    async def reconcile(self, running: Collection[str]) -> None:
        """After a daemon restart: release everything of containers that do not run any more."""
        raise NotImplementedYet("networks")
