"""Builds as the API offers them: from what a client sends to a named image.

Owns: the workspace of a build and its end, tags, cancelling, the build cache.  For the building itself read build/,
for RUN executor.py, for contexts contexts.py.

    <builds>/work/<id>/      context, spooled tar, scratch files of one build; emptied at start
    <builds>/mounts/         cache mounts (build/cachemounts.py)
    <builds>/clients/        directories of clients (directories.py)
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from corten.api.filters import Filters
from corten.build.args import Platforms
from corten.build.cachemounts import CacheMounts
from corten.build.ports import Cache, Ports
from corten.build.request import BuildRequest, BuildResult
from corten.build.solve import Builder
from corten.build.tree import DetachedTrees
from corten.engine.builds.cache import BuildCache, Sources, StepRecords
from corten.engine.builds.classic import Client, Sent, Trip, perform
from corten.engine.builds.contexts import Context, Contexts
from corten.engine.builds.directories import Directories
from corten.engine.builds.executor import StepExecutor, sweep
from corten.engine.builds.options import BuildOptions
from corten.engine.builds.ports import BaseImages, BuiltImages, StepLayers
from corten.engine.builds.travel import Travels, stream
from corten.engine.builds.visit import Visit
from corten.engine.containers.ground import Ground
from corten.engine.images.ground import ImageGround
from corten.engine.images.pull import Puller
from corten.engine.images.shelf import ImageShelf
from corten.errors import CortenError, Internal, Invalid, NotFound
from corten.kernel.ext4 import spread
from corten.spec.digest import Digest
from corten.spec.image import chain_ids
from corten.spec.platform import host
from corten.spec.reference import Reference
from corten.store.facts import Facts
from corten.store.trash import Trash

# Builds whose caches a client may still fetch.
KEPT_TRIPS = 8


class BuildService:
    """The classic builder."""

    def __init__(self, ground: Ground, images: ImageGround, puller: Puller, shelf: ImageShelf, facts: Facts) -> None:
        root = images.layout.builds
        self._ground = ground
        self.images = images
        self.puller = puller
        self._shelf = shelf
        self._work, self._mounts = root / "work", root / "mounts"
        self._steps = ground.settings.exec_root / "steps"
        self.contexts = Contexts(images.workers)
        self.directories = Directories(root / "clients")
        self._records = StepRecords(facts)
        self._cache_mounts = CacheMounts(self._mounts)
        self.cache = BuildCache(
            facts,
            self._mounts,
            lambda: {str(chain) for chain in shelf.chains()},
            exists=images.snapshots.exists,
            in_use=self._cache_mounts.is_used,
        )
        self._running: dict[str, asyncio.Task[str]] = {}
        self._guests = 0
        self.travels = Travels(images, self._mounts)
        self._trips: dict[str, Trip] = {}

    async def open(self) -> None:
        """End what a killed daemon left behind, and make the directories."""
        await sweep(self._ground.supervisor, self._steps)
        await asyncio.to_thread(shutil.rmtree, self._work, True)
        for path in (self._work, self._mounts):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        spread(self._work)
        for snapshot in list(self._ground.snapshots.walk()):
            if snapshot.key.startswith("build-"):
                self._ground.snapshots.remove(snapshot.key)

    async def build(self, options: BuildOptions, sent: Sent, client: Client) -> str:
        """Build and tag; the id of the image.  Cancelling kills the running step and leaves nothing half-made."""
        tags = _tags(options.tags)
        work = asyncio.create_task(self._build(options, tags, sent, client), name="build")
        name = options.build_id or secrets.token_hex(8)
        self._running[name] = work
        try:
            return await work
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            raise Internal("Build cancelled") from None
        finally:
            self._running.pop(name, None)

    @property
    def is_busy(self) -> bool:
        """A build runs."""
        return bool(self._running or self._guests)

    def cancel(self, build_id: str) -> None:
        """Stop a build by the id that its client gave it."""
        work = self._running.get(build_id)
        if work is None:
            raise NotFound(f"build {build_id} not found")
        work.cancel()

    async def cache_of(self, build_id: str) -> AsyncIterator[bytes]:
        """The cache of a build that asked for type=local, as a tar: once, and soon after it."""
        trip = self._trips.pop(build_id, None)
        if trip is None:
            raise NotFound(f"no cache is kept for build {build_id}")
        with self.guest() as workspace:
            await self.travels.write(trip.ledger, trip.began, workspace / "cache.tar")
            async for piece in stream(workspace / "cache.tar"):
                yield piece

    def usage(self) -> list[dict[str, Any]]:
        """What the cache holds, a row each."""
        return [entry.to_json() for entry in self.cache.entries()]

    def prune(
        self, filters: Filters, *, all: bool = False, keep: int = 0, ceiling: int = 0, floor: int = 0
    ) -> tuple[list[str], int]:
        """Forget what the cache holds; ids and bytes."""
        gone, reclaimed = self.cache.prune(filters, all=all, keep=keep, ceiling=ceiling, floor=floor)
        if not (filters or keep or ceiling or floor):
            reclaimed += self.directories.clear()
        self._ground.events.publish("builder", "prune", "", {"reclaimed": str(reclaimed)})
        return gone, reclaimed

    async def _build(self, options: BuildOptions, tags: list[Reference], sent: Sent, client: Client) -> str:
        with self._workspace() as workspace:
            done = await perform(self, options, sent, workspace, client)
        if options.build_id and any(entry.get("type") == "local" for entry in options.cache_exports):
            self._trips[options.build_id] = done.trip
            for oldest in list(self._trips)[:-KEPT_TRIPS]:
                del self._trips[oldest]
        for tag in tags if done.image else ():
            self.images.give_name(Digest.parse(done.image), tag, target=done.index)
            client.progress.stream(f"Successfully tagged {tag.familiar()}\n")
        return done.image

    @contextlib.contextmanager
    def guest(self) -> Iterator[Path]:
        """A workspace for a build that somebody else directs (buildkit/); nothing is collected meanwhile."""
        self._guests += 1
        try:
            with self._workspace() as workspace:
                yield workspace
        finally:
            self._guests -= 1

    async def make(self, options: BuildOptions, context: Context, workspace: Path, visit: Visit) -> BuildResult:
        """Build what was received.  Raises StepFailed where a RUN ends with a status."""
        executor = StepExecutor(self._ground, self._steps, colours=visit.is_classic)
        platforms = Platforms(str(host()), str(host()))
        builder = Builder(self._ports(options, executor, workspace, visit), platforms, self._cache_mounts)
        request = replace(_request(options, context), secrets=visit.secrets)
        try:
            return await builder.build(request, visit.progress, visit.watcher)
        finally:
            self._records.flush()
            await asyncio.shield(executor.close())

    def _ports(self, options: BuildOptions, executor: StepExecutor, workspace: Path, visit: Visit) -> Ports:
        scratch, private = workspace / "scratch", workspace / "private"
        for path in (scratch, private):
            path.mkdir(mode=0o700)
        known = self._sources(options.cache_from) if visit.is_classic else self._records
        return Ports(
            images=BaseImages(self.images, self.puller, visit.keys),
            snapshots=self.images.snapshots,
            trees=DetachedTrees(),
            executor=executor,
            layers=StepLayers(self.images.snapshots, self.images.workers),
            # BuildKit: what --cache-from names is there besides the cache, not instead of it.
            cache=visit.ledger.over(known) if visit.ledger is not None else known,
            sink=BuiltImages(self.images),
            scratch=scratch,
            mounts=self._mounts,
            private=private,
        )

    def _sources(self, names: tuple[str, ...]) -> Cache:
        """docker: with ``cachefrom`` only what those images were built through counts; unknown ones count nothing."""
        if not names:
            return self._records
        images: set[str] = set()
        chains: set[str] = set()
        for name in names:
            with contextlib.suppress(CortenError):
                record = self.images.images.find(name)
                images.update(str(each.id) for each in (record, *self._shelf.parents(record)))
                chains.update(str(chain) for chain in chain_ids(record.config.diff_ids))
        return Sources(self._records, images, chains)

    @contextlib.contextmanager
    def _workspace(self) -> Iterator[Path]:
        path = self._work / secrets.token_hex(8)
        path.mkdir(mode=0o700)
        try:
            yield path
        finally:
            # Twenty thousand files of a context are deleted while nobody waits.
            Trash(self.images.layout.trash).take(path)


def _tags(names: tuple[str, ...]) -> list[Reference]:
    """The names to give, each once; raises Invalid before anything is built."""
    found: dict[Reference, None] = {}
    for name in names:
        if not name:
            continue
        reference = Reference.parse(name)
        if reference.digest is not None:
            raise Invalid("build tag cannot contain a digest")
        found[reference] = None
    return list(found)


def _request(options: BuildOptions, context: Context) -> BuildRequest:
    network = options.network if options.network not in ("", "bridge") else "default"
    request = BuildRequest(
        dockerfile=context.dockerfile,
        context=context.directory,
        dockerfile_name=context.name,
        target=options.target,
        build_args=options.build_args,
        labels=options.labels,
        platform=options.platform or None,
        no_cache=options.no_cache,
        pull=options.pull,
        cache_from=options.cache_from,
        remove=options.remove,
        force_remove=options.force_remove,
        network=network,
    )
    return replace(
        request,
        extra_hosts=options.extra_hosts,
        shm_size=options.shm_size,
        resources=options.resources,
        ulimits=options.ulimits,
        cgroup_parent=options.cgroup_parent,
        named_contexts=options.named_contexts,
        no_cache_filter=options.no_cache_filter,
        entitlements=options.entitlements,
        apply_ignore=options.apply_ignore,
        explain=options.explain,
        keep_failed=options.keep_failed,
    )
