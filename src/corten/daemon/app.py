"""The composition root: every object of the daemon, built in order, in one place.

Owns: who is handed what.  Nothing below this file constructs a mechanism of its own.
"""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corten import __version__
from corten.buildkit.service import BuildKit
from corten.daemon.config import Config
from corten.distribution.client import Distribution
from corten.distribution.model import RegistryConfig
from corten.engine.background import Background
from corten.engine.budget.model import Limits
from corten.engine.budget.service import BudgetService
from corten.engine.budget.survey import Surveyor
from corten.engine.budget.uses import Uses
from corten.engine.builds.buildkit.workshop import EngineWorkshop
from corten.engine.builds.service import BuildService
from corten.engine.commits import Commits
from corten.engine.containers.ground import Ground, Settings
from corten.engine.containers.live import Roster
from corten.engine.containers.networking import host_gateway
from corten.engine.containers.options import Defaults
from corten.engine.containers.runtimes import configured
from corten.engine.containers.service import ContainerService
from corten.engine.engine import Engine
from corten.engine.events import Events
from corten.engine.execs.service import ExecService
from corten.engine.images.ground import ImageGround
from corten.engine.images.keeper import Keeper
from corten.engine.images.pull import Puller
from corten.engine.images.service import ImageService
from corten.engine.images.shelf import ImageShelf, Tenant
from corten.engine.networks.service import NetworkService
from corten.engine.system import Facts as SystemFacts
from corten.engine.system import System
from corten.engine.upkeep import Upkeep
from corten.engine.usage import Usage
from corten.engine.volumes.service import VolumeService
from corten.engine.watch.service import WatchOptions, WatchService
from corten.errors import Invalid
from corten.network.service import Networking
from corten.spec.reference import DEFAULT_REGISTRY
from corten.store.check import Checker
from corten.store.collect import Collector
from corten.store.content import Content
from corten.store.db import Database
from corten.store.facts import Facts
from corten.store.images import Images
from corten.store.layout import Layout
from corten.store.leases import Leases
from corten.store.repair import repair
from corten.store.snapshots.base import Snapshots
from corten.store.snapshots.drivers import open_driver
from corten.store.unpack import Unpacker
from corten.store.workers import Workers
from corten.supervisor.service import Supervisor
from corten.volumes.service import Volumes

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Store:
    """The mechanisms that keep bytes and facts."""

    layout: Layout
    database: Database
    facts: Facts
    content: Content
    snapshots: Snapshots
    images: Images
    workers: Workers


@dataclass(frozen=True, slots=True)
class Running:
    """The engine, and how it is told of a changed configuration."""

    engine: Engine
    reload: Callable[[Config], None]


@contextlib.asynccontextmanager
async def running_engine(config: Config) -> AsyncIterator[Running]:
    """The engine, opened in order and closed in the opposite one; containers outlive it."""
    async with contextlib.AsyncExitStack() as stack:
        store = open_store(stack, config)
        ground = await open_ground(stack, config, store)
        containers = ContainerService(ground)
        await containers.open()
        stack.push_async_callback(ground.background.close)
        stack.push_async_callback(containers.close)
        yield await open_services(stack, config, store, ground, containers)


def open_store(stack: contextlib.AsyncExitStack, config: Config) -> Store:
    """The data root, made or mended."""
    layout = Layout(config.data_root)
    layout.make()
    database = Database.open(layout.database)
    stack.callback(database.close)
    snapshots = open_driver(config.storage_driver, database, layout)
    stack.callback(snapshots.close)
    content = Content(layout.content)
    content.make()
    repair(layout, content, snapshots)
    workers = Workers()
    stack.push_async_callback(workers.close)
    return Store(layout, database, Facts(database), content, snapshots, Images(database, content, snapshots), workers)


async def open_ground(stack: contextlib.AsyncExitStack, config: Config, store: Store) -> Ground:
    """Networks, volumes, the supervisor, and what containers stand on."""
    events = Events(store.layout.data_root / "events.jsonl")
    events.open()
    stack.callback(events.close)
    networking = make_networking(config, store.facts, events)
    await networking.open()
    stack.push_async_callback(networking.close)
    volumes = Volumes(store.facts, store.layout.volumes)
    await volumes.open()
    stack.push_async_callback(volumes.close)
    config.exec_root.mkdir(parents=True, exist_ok=True)
    supervisor = Supervisor(config.exec_root, cgroup_parent=config.cgroup_parent)
    await supervisor.open()
    stack.push_async_callback(supervisor.close)
    return Ground(
        layout=store.layout,
        snapshots=store.snapshots,
        workers=store.workers,
        images=store.images,
        supervisor=supervisor,
        networking=networking,
        volumes=volumes,
        events=events,
        background=Background(),
        roster=Roster(store.facts),
        settings=settings(config),
    )


async def open_services(
    stack: contextlib.AsyncExitStack, config: Config, store: Store, ground: Ground, containers: ContainerService
) -> Running:
    """Images, builds and the rest, each on what was opened before it."""
    distribution = Distribution(registry_config(config))
    stack.push_async_callback(distribution.close)
    image_ground = ImageGround(
        layout=store.layout,
        content=store.content,
        images=store.images,
        snapshots=store.snapshots,
        workers=store.workers,
        unpacker=Unpacker(store.snapshots, store.workers, store.layout),
        distribution=distribution,
        events=ground.events,
    )
    shelf = ImageShelf(store.images, store.snapshots, lambda: tenants(ground.roster))
    puller = Puller(image_ground)
    builds = BuildService(ground, image_ground, puller, shelf, store.facts)
    await builds.open()
    collector = Collector(store.layout, store.content, store.snapshots, store.images, Leases(store.database))
    keeper = Keeper(collector, lambda: builds.is_busy or image_ground.holds.is_busy, builds.cache.kept_layers)
    keeper.open()
    stack.callback(keeper.close)
    image_service = ImageService(image_ground, shelf, puller, keeper.soon)
    surveyor = make_surveyor(store, ground, image_ground, builds, collector)
    limits = Limits(config.disk_budget, config.disk_free_floor, config.disk_young)
    budget = BudgetService(limits, surveyor, containers, image_service, builds, keeper)
    budget.open()
    stack.push_async_callback(budget.close)
    volume_service = VolumeService(ground.volumes, ground.events)
    watch = WatchService(ground, containers, image_ground, puller, store.facts, watch_options(config))
    await watch.open()
    stack.push_async_callback(watch.close)
    facts = system_facts(config, store.facts)
    execs = ExecService(ground)
    execs.recover()
    system = System(ground, facts, lambda: len(store.images.ids()))

    def reload(changed: Config) -> None:
        distribution.reconfigure(registry_config(changed))
        system.reconfigure(system_facts(changed, store.facts))

    engine = Engine(
        containers=containers,
        execs=execs,
        images=image_service,
        commits=Commits(ground, containers, image_service),
        builds=builds,
        buildkit=BuildKit(EngineWorkshop(builds, facts.id, lambda: host_gateway(ground))),
        networks=NetworkService(ground.networking, containers, ground.events),
        volumes=volume_service,
        events=ground.events,
        system=system,
        usage=Usage(image_service, containers, volume_service, builds),
        upkeep=make_upkeep(store, ground),
        budget=budget,
        watch=watch,
    )
    return Running(engine, reload)


def watch_options(config: Config) -> WatchOptions:
    """How images are followed."""
    return WatchOptions(config.watch_interval, config.watch_grace, config.registry_config)


def make_surveyor(
    store: Store, ground: Ground, images: ImageGround, builds: BuildService, collector: Collector
) -> Surveyor:
    """Who knows what takes the disk, and since when it was not used."""
    uses = Uses(
        store.facts, lambda name: str(store.images.find(name).id), lambda id: ground.roster.find(id).record.image_id
    )
    return Surveyor(ground, images, builds.cache, collector, uses)


def make_upkeep(store: Store, ground: Ground) -> Upkeep:
    """Who looks after the store."""
    checker = Checker(store.database, store.layout, store.content, store.snapshots, store.images, store.workers)
    return Upkeep(checker, store.content, store.images, store.snapshots, ground.roster, ground.events)


def tenants(roster: Roster) -> list[Tenant]:
    """The containers as far as images are concerned."""
    return [Tenant(live.record.id, live.record.image_id, live.record.is_running) for live in roster]


def registry_config(config: Config) -> RegistryConfig:
    """How registries are reached."""
    return RegistryConfig(
        insecure=frozenset(config.insecure_registries),
        mirrors={DEFAULT_REGISTRY: config.registry_mirrors} if config.registry_mirrors else {},
        parallel_downloads=config.max_concurrent_downloads,
        parallel_uploads=config.max_concurrent_uploads,
        user_agent=f"corten/{__version__}",
    )


def make_networking(config: Config, facts: Facts, events: Events) -> Networking:
    """The networks, with names of their own where a second daemon runs beside the first."""

    def report(words: str) -> None:
        log.warning("network: %s", words)
        events.publish("daemon", "network-repair", "corten", {"reason": words})

    is_default = config.bridge == Config().bridge
    pools = tuple((str(pool["base"]), int(pool["size"])) for pool in config.default_address_pools)
    return Networking(
        facts,
        instance="" if is_default else config.bridge,
        default_bridge=config.bridge,
        bip=config.bip,
        fixed_cidr=config.fixed_cidr or None,
        table="corten" if is_default else f"corten-{config.bridge}",
        address_pools=pools,
        mtu=config.mtu,
        icc=config.icc,
        ipv6=config.ipv6,
        default_host_ip="" if config.ip == "0.0.0.0" else config.ip,
        host_firewall=config.host_firewall,
        on_repair=report,
    )


def settings(config: Config) -> Settings:
    """What the configuration says about containers."""
    defaults = Defaults(
        log_driver=config.log_driver,
        log_opts=config.log_opts,
        shm_size=config.default_shm_size,
        ipc_mode=config.default_ipc_mode,
        cgroupns_mode=config.default_cgroupns_mode or "private",
        userns_mode="auto" if config.userns_default == "auto" else "",
        ulimits=tuple(config.default_ulimits.values()),
        init=config.init,
        runtimes=configured(config.runtimes, config.default_runtime),
    )
    return Settings(
        defaults=defaults,
        cgroup_parent=config.cgroup_parent,
        exec_root=config.exec_root,
        default_host_ip="" if config.ip == "0.0.0.0" else config.ip,
        dns=config.dns,
        dns_search=config.dns_search,
        dns_options=config.dns_opts,
        host_gateway_ip=config.host_gateway_ip,
        seccomp_profile=_seccomp(config.seccomp_profile),
    )


def _seccomp(path: str) -> dict[str, Any] | None:
    if not path or path in ("builtin", "default"):
        return None
    try:
        return dict(json.loads(Path(path).read_bytes()))
    except (OSError, ValueError) as error:
        raise Invalid(f"opening seccomp profile {path} failed: {error}") from error


def system_facts(config: Config, facts: Facts) -> SystemFacts:
    """What ``info`` tells; the daemon's id is made once for a data root."""
    found = facts.get("daemon", "identity")
    if found is None:
        found = {"id": secrets.token_hex(16)}
        facts.put("daemon", "identity", found)
    return SystemFacts(
        id=str(found["id"]),
        data_root=config.data_root,
        debug=config.debug,
        labels=config.labels,
        insecure_registries=config.insecure_registries,
        registry_mirrors=config.registry_mirrors,
        log_driver=config.log_driver,
        default_address_pools=config.default_address_pools,
    )
