"""The operations on networks, endpoints and published ports.

Owns: the order in which records are written and the kernel is changed: a record comes first and goes last, so that a
crash leaves something to repair and never an address handed out twice.  Knows nothing of Docker's JSON or of
containers beyond their id and name.  Read next: ``ledger.py`` (what exists), ``plan.py`` and ``apply.py`` (links),
``firewall.py`` and ``enforcer.py`` (rules), ``publisher.py`` (ports), ``resolver.py`` (names).

    open() ........ default bridge, forwarding, rules; everything else again from the facts
    connect() ..... between a task's create and start, once for each network; disconnect() and release() undo it
    reserve() ..... before anything starts: takes the host ports; publish() adds the rules once addresses are known
    restore() ..... after a daemon restart, once for each container found running; then reconcile()
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from corten.errors import CortenError, Denied, Internal, NotFound
from corten.kernel.netlink.codec import NETLINK_ROUTE
from corten.kernel.netlink.socket import Netlink
from corten.network import apply, endpoints, exposures, flows, formation, plan, resolver, wiring
from corten.network.base import FactsPort, Sandbox
from corten.network.drivers.base import Surroundings
from corten.network.drivers.table import driver
from corten.network.enforcer import Enforcer
from corten.network.firewall import Firewall
from corten.network.formation import DefaultBridge
from corten.network.ledger import Ledger
from corten.network.model import Endpoint, EndpointSpec, IPNetwork, Network, NetworkSpec, PortBinding
from corten.network.naming import Naming
from corten.network.pools import sources
from corten.network.ports import LONGEST_HELD_RANGE
from corten.network.publisher import Publisher

_SWEEP_DELAY = 0.5
_ROUTE_SOCKET = (socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE)


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
        self._ledger = Ledger(facts)
        self._around = Surroundings(mtu=mtu, alias=f"corten:{table}")
        self._default = DefaultBridge(default_bridge, bip or "", fixed_cidr or "", icc, ipv6, mtu)
        self._sources = sources(address_pools, instance)
        self._enforcer = Enforcer(table, on_repair)
        self._on_repair = on_repair
        self._table = table
        self._publisher = Publisher(
            self._ledger, default_host=default_host_ip, host_firewall=host_firewall, ipv6=apply.has_ipv6()
        )
        self._naming = Naming(self._ledger, host_resolv_conf)
        self._shape = asyncio.Lock()  # making and removing networks
        self._locks: dict[str, asyncio.Lock] = {}  # one for each container
        self._background: set[asyncio.Task[None]] = set()

    # ── the daemon comes and goes ──────────────────────────────────────────────────────────────────

    async def open(self) -> None:
        """Make or repair the default bridge, forwarding and rules; take up all facts again."""
        self._ledger.load()
        taken = await asyncio.to_thread(self._host_networks)
        formation.ensure_predefined(self._ledger, self._default, self._sources, taken)
        for network in self._ledger.networks.values():
            try:
                await asyncio.to_thread(self._make, network)
            except (OSError, CortenError) as error:
                if network.name == "bridge":
                    raise
                self._report(f"network {network.name} could not be made: {error}")
        known = {endpoint.link for endpoint in self._ledger.endpoints.values()}
        bridges = {network.bridge for network in self.all() if network.bridge}
        await asyncio.to_thread(wiring.remove_strays, bridges, self._around.alias, known)
        for problem in self._publisher.restore():
            self._report(f"a published port is taken by somebody else: {problem}")
        await self._enforcer.open(self._firewall())

    async def close(self) -> None:
        """Close the daemon's side only: links, addresses and rules stay for the containers that run on."""
        for task in list(self._background):
            task.cancel()
        self._naming.close()
        self._publisher.close()
        await self._enforcer.close()

    async def uninstall(self) -> None:
        """Take away every rule and bridge of this daemon, then close (tests, and a daemon that leaves for good)."""
        await self._enforcer.uninstall()
        for network in self._ledger.networks.values():
            await asyncio.to_thread(self._unmake, network)
        await self.close()

    # ── networks ───────────────────────────────────────────────────────────────────────────────────

    def get(self, name: str) -> Network:
        """Find by name, id, or unambiguous prefix of an id."""
        return self._ledger.find(name)

    def all(self) -> list[Network]:
        return list(self._ledger.networks.values())

    def endpoints(self, network_id: str) -> list[Endpoint]:
        """The containers that are on a network now."""
        return self._ledger.on_network(network_id)

    def endpoints_of(self, container_id: str) -> list[Endpoint]:
        """Best default gateway first."""
        return self._ledger.of_container(container_id)

    async def create(self, spec: NetworkSpec) -> Network:
        async with self._shape:
            formation.check(spec, self.all())
            taken = await asyncio.to_thread(self._host_networks)
            network = formation.form(spec, self.all(), self._sources, taken)
            self._ledger.add_network(network)
            try:
                await asyncio.to_thread(self._make, network)
                await self._enforce()
            except BaseException:
                await asyncio.shield(self._abandon(network))
                raise
            return network

    async def _abandon(self, network: Network) -> None:
        with contextlib.suppress(OSError, CortenError):
            await asyncio.to_thread(self._unmake, network)
        self._ledger.remove_network(network)
        await self._enforce()

    async def remove(self, name: str) -> Network:
        """Raises Denied for predefined networks and for ones with active endpoints."""
        async with self._shape:
            network = self._ledger.find(name)
            if network.is_predefined:
                raise Denied(f"{network.name} is a pre-defined network and cannot be removed")
            self._ledger.refuse_active(network)
            await asyncio.to_thread(self._unmake, network)
            self._ledger.remove_network(network)
            await self._enforce()
            return network

    # ── containers come and go ─────────────────────────────────────────────────────────────────────

    def check(self, network: str, spec: EndpointSpec) -> Network:
        """Raise what ``connect`` would raise for this request alone; for containers that do not run yet."""
        found = self._ledger.find(network)
        endpoints.check(found, spec)
        return found

    async def connect(self, network: str, container_id: str, sandbox: Sandbox | None, spec: EndpointSpec) -> Endpoint:
        """Give addresses and, where a sandbox is given, plug the interface in."""
        found = self.check(network, spec)
        async with self._lock(container_id):
            if self._ledger.endpoint(found.id, container_id):
                name = spec.container_name or container_id
                raise Denied(f"endpoint with name {name} already exists in network {found.name}")
            endpoint = endpoints.join(self._ledger, found, container_id, spec)
            if sandbox is None:
                return endpoint
            try:
                endpoint = await self._plug(endpoint, sandbox)
            except BaseException:
                await asyncio.shield(self._withdraw(endpoint))
                raise
            return endpoint

    async def plug(self, container_id: str, sandbox: Sandbox) -> list[Endpoint]:
        """Plug in every endpoint of a container that was connected without a sandbox."""
        async with self._lock(container_id):
            waiting = [each for each in self._ledger.of_container(container_id) if not each.plugged]
            return [await self._plug(endpoint, sandbox) for endpoint in waiting]

    async def disconnect(self, network: str, container_id: str, sandbox: Sandbox | None) -> Endpoint:
        """Take a container off a network, unplugging it where it runs."""
        found = self._ledger.find(network)
        async with self._lock(container_id):
            endpoint = self._ledger.endpoint(found.id, container_id)
            if endpoint is None:
                raise NotFound(f"container {container_id} is not connected to network {found.name}")
            staying = [each for each in self._ledger.of_container(container_id) if each.id != endpoint.id]
            if sandbox is not None and endpoint.plugged and endpoint.link:
                await self._unplug(endpoint, sandbox, staying)
            elif endpoint.link and not endpoint.plugged:
                await asyncio.to_thread(wiring.remove, [endpoint.link])  # half made when the daemon was killed
            self._ledger.drop([endpoint])
            await self._republish(container_id)
            return endpoint

    async def release(self, container_id: str) -> None:
        """The container stopped: forget its endpoints and ports.  Its links go with its namespace."""
        async with self._lock(container_id):
            leaving = self._ledger.of_container(container_id)
            self._naming.stop(container_id)
            had_udp = any(binding.protocol == "udp" for binding in self.published(container_id))
            self._publisher.unpublish(container_id)
            self._ledger.drop(leaving)
            await self._enforce()
        self._locks.pop(container_id, None)
        links = [endpoint.link for endpoint in leaving if endpoint.plugged and endpoint.link]
        if links:
            self._later(self._sweep(links))
        if had_udp:
            gone = [address.ip for each in leaving for address in plan.addresses_of(each)]
            self._later(asyncio.to_thread(flows.forget, [], gone))

    async def rename(self, container_id: str, name: str, aliases: Mapping[str, Sequence[str]] | None = None) -> None:
        """Let the names follow a renamed container; ``aliases``, by network, replace those that it had."""
        async with self._lock(container_id):
            for endpoint in self._ledger.of_container(container_id):
                self._ledger.put(endpoints.renamed(endpoint, name, aliases))

    # ── published ports ────────────────────────────────────────────────────────────────────────────

    async def reserve(self, container_id: str, name: str, bindings: Sequence[PortBinding]) -> list[PortBinding]:
        """Take host ports, all or none; returns them resolved, one for each host address."""
        hold = len(bindings) <= LONGEST_HELD_RANGE
        taken: list[PortBinding] = []
        try:
            for start in range(0, len(bindings), LONGEST_HELD_RANGE):
                some = bindings[start : start + LONGEST_HELD_RANGE]
                taken += self._publisher.reserve(container_id, name, some, hold=hold)
                await asyncio.sleep(0)  # ten thousand ports take a while, and others want the loop
        except BaseException:
            self._publisher.give_back(container_id, taken)
            raise
        return taken

    async def publish(self, container_id: str, name: str, bindings: Sequence[PortBinding]) -> list[PortBinding]:
        """Lead to the container what was reserved, or else ``bindings``.  Adds to what is published already."""
        taken = self._publisher.publish(container_id, name, bindings)
        await self._enforce()
        self._forget_flows(taken)
        return taken

    async def exchange(
        self,
        container_id: str,
        name: str,
        removed: Sequence[PortBinding],
        added: Sequence[PortBinding],
        also: Callable[[], None],
    ) -> None:
        """Withdraw ports (as ``published`` tells them) and publish others; ``also`` writes down what goes with it."""
        taken = self._publisher.exchange(container_id, name, removed, added, also)
        await self._enforce()
        self._forget_flows([*removed, *taken])

    def published(self, container_id: str) -> list[PortBinding]:
        found = self._ledger.publications.get(container_id)
        return list(found.bindings) if found else []

    def exposures(self) -> list[exposures.Exposure]:
        """What can be reached from outside its networks, and from where."""
        found = exposures.of_open_networks(self.all(), self._ledger.endpoints.values())
        return found + self._publisher.exposures()

    # ── after a daemon restart ─────────────────────────────────────────────────────────────────────

    async def restore(self, container_id: str, sandbox: Sandbox) -> None:
        """After a daemon restart: finish what was interrupted and serve names again in a container that runs."""
        async with self._lock(container_id):
            for endpoint in self._ledger.of_container(container_id):
                # Killed between record and wire, or between taking the wire away and forgetting the record.
                if not endpoint.plugged or (endpoint.link and not apply.has_link(endpoint.link)):
                    await asyncio.to_thread(wiring.remove, [endpoint.link])
                    await self._plug(endpoint.evolve(plugged=False), sandbox, fresh=False)
            if self._naming.is_wanted(container_id):
                udp, tcp, control = await sandbox.sockets(resolver.WANTED)
                await asyncio.to_thread(functools.partial(resolver.bind, udp, tcp, control, fresh=False))
                self._naming.adopt(container_id, udp, tcp)

    async def reconcile(self, running: Collection[str]) -> None:
        """After a daemon restart: release everything of containers that do not run any more."""
        for container_id in self._ledger.containers() - set(running):
            await self.release(container_id)

    # ── inside ─────────────────────────────────────────────────────────────────────────────────────

    async def _plug(self, endpoint: Endpoint, sandbox: Sandbox, *, fresh: bool = True) -> Endpoint:
        network = self._ledger.networks[endpoint.network_id]
        others = self._ledger.of_container(endpoint.container_id)
        together = [each for each in others if each.plugged and each.id != endpoint.id]
        fresh = fresh and not together
        wanted = plan.gateways([*together, endpoint])
        link_plan = driver(network.driver).plug_plan(network, endpoint, wanted, self._around)
        if network.driver != "host":
            names = resolver.WANTED if self._naming.is_wanted(endpoint.container_id) else ()
            control, *servers = made = await sandbox.sockets([_ROUTE_SOCKET, *names])
            try:
                await asyncio.to_thread(wiring.plug, sandbox, control, link_plan, servers, fresh)
                if servers:
                    self._naming.adopt(endpoint.container_id, servers[0], servers[1])
            except BaseException as error:
                for each in made:
                    each.close()
                if isinstance(error, OSError):
                    raise Internal(f"failed to set up container networking: {error.strerror or error}") from error
                raise
            control.close()
        endpoint = endpoint.evolve(plugged=True)
        self._ledger.put(endpoint)
        if together:
            await self._republish(endpoint.container_id)
        return endpoint

    async def _unplug(self, endpoint: Endpoint, sandbox: Sandbox, staying: list[Endpoint]) -> None:
        sockets = await sandbox.sockets([_ROUTE_SOCKET])
        try:
            with contextlib.suppress(ProcessLookupError):
                await asyncio.to_thread(wiring.unplug, sockets[0], endpoint.interface, plan.gateways(staying))
        finally:
            for each in sockets:
                each.close()

    async def _withdraw(self, endpoint: Endpoint) -> None:
        self._ledger.drop([endpoint])
        if not self._ledger.of_container(endpoint.container_id):
            self._naming.stop(endpoint.container_id)
        if endpoint.link:
            self._later(self._sweep([endpoint.link]))

    async def _republish(self, container_id: str) -> None:
        if container_id in self._ledger.publications:
            self._publisher.serve(container_id)
            await self._enforce()

    async def _sweep(self, links: list[str]) -> None:
        """Delete links that did not go by themselves: another container shares the namespace, say."""
        await asyncio.sleep(_SWEEP_DELAY)
        used = {endpoint.link for endpoint in self._ledger.endpoints.values()}
        await asyncio.to_thread(wiring.remove, [link for link in links if link not in used])

    def _forget_flows(self, changed: Sequence[PortBinding]) -> None:
        if ports := [binding.host_port for binding in changed if binding.protocol == "udp"]:
            self._later(asyncio.to_thread(flows.forget, ports, []))

    def _later(self, work: asyncio._CoroutineLike[None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._report(f"tidying up failed: {error}")

    def _lock(self, container_id: str) -> asyncio.Lock:
        return self._locks.setdefault(container_id, asyncio.Lock())

    def _firewall(self) -> Firewall:
        found = (driver(network.driver).segment(network) for network in self.all())
        return Firewall(self._table, frozenset(each for each in found if each), self._publisher.forwards())

    async def _enforce(self) -> None:
        await self._enforcer.apply(self._firewall())

    def _make(self, network: Network) -> None:
        with Netlink.open() as host:
            driver(network.driver).make(host, network, self._around)

    def _unmake(self, network: Network) -> None:
        with Netlink.open() as host:
            driver(network.driver).unmake(host, network, self._around)

    def _host_networks(self) -> list[IPNetwork]:
        ours = {network.bridge for network in self._ledger.networks.values() if network.bridge}
        with Netlink.open() as host:
            return apply.host_networks(host, ours | {self._default.name})

    def _report(self, words: str) -> None:
        if self._on_repair:
            self._on_repair(words)
