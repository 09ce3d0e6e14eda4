"""The workshop behind BuildKit's API: our builder, our store, told in BuildKit's words.

Owns the course of one build: gather the files (sources.py), make the image (../service.py), and tell.  For exports read
exports.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import json
import os
import platform as machine
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from corten import __version__
from corten.build.failures import StepFailed
from corten.buildkit.board import Board
from corten.buildkit.filesync.send import describe
from corten.buildkit.grpc.status import RpcFailed
from corten.buildkit.messages.control import Exporter, PruneRequest, UsageRecord
from corten.buildkit.messages.session import Stat
from corten.buildkit.messages.shared import BuildkitVersion, CacheEntry, Platform, WorkerRecord
from corten.buildkit.sessions import Sessions
from corten.buildkit.workshop import Built, Order
from corten.distribution.model import NOBODY, Credentials
from corten.engine.builds.buildkit import options, questions
from corten.engine.builds.buildkit.caches import Caches
from corten.engine.builds.buildkit.exports import Exports
from corten.engine.builds.buildkit.login import keys
from corten.engine.builds.buildkit.secrets import SessionSecrets
from corten.engine.builds.buildkit.sources import Gathering, Sources
from corten.engine.builds.buildkit.usage import pruned, records
from corten.engine.builds.classic import Trip
from corten.engine.builds.contexts import Context
from corten.engine.builds.options import BuildOptions
from corten.engine.builds.ports import BaseImages
from corten.engine.builds.service import BuildService
from corten.engine.builds.visit import Visit
from corten.errors import Invalid, NotFound
from corten.kernel.paths import Root
from corten.spec.platform import Platform as PlatformName
from corten.spec.platform import host

CONFIG = "containerimage.config"
FILE_LIMIT = 8 << 20


class Silent:
    """A build's classic progress, that nobody reads here."""

    def stream(self, text: str) -> None:
        """Nothing."""

    def log(self, text: str) -> None:
        """Nothing."""

    def status(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        """Nothing."""

    def aux(self, value: Mapping[str, Any]) -> None:
        """Nothing."""


class EngineWorkshop:
    """buildkit.workshop.Workshop on the engine."""

    def __init__(self, builds: BuildService, identity: str, gateway_ip: Callable[[], str]) -> None:
        self._builds = builds
        self._identity = identity
        self._gateway_ip = gateway_ip
        self._sources = Sources(builds.contexts, builds.directories)
        self._exports = Exports(builds.images)
        self._caches = Caches(builds.travels)

    async def build(self, order: Order, board: Board, sessions: Sessions) -> Built:
        """Gather, build; failures in BuildKit's words."""
        frontend = options.read(order.frontend, order.options, order.entitlements)
        session = await sessions.get(order.session)
        with self._builds.guest() as workspace:
            async with contextlib.AsyncExitStack() as stack:
                at = Gathering(frontend, order.inputs, session, sessions, workspace, board, stack, Silent())
                if frontend.question:
                    return questions.answer(frontend, await self._sources.definition(at))
                frontend, context = await self._sources.gather(at)
                agents = workspace / "agents"
                agents.mkdir(mode=0o711)
                secrets = SessionSecrets(session, agents)
                stack.push_async_callback(secrets.close)
                trip = Trip()
                images = await self._caches.bring(
                    frontend.cache_imports, session, keys(session), trip, workspace, board
                )
                asked = replace(frontend.options, cache_from=(*frontend.options.cache_from, *images))
                visit = Visit(Silent(), keys(session), board, secrets, trip.ledger)
                if not frontend.platforms:
                    return await self._one(asked, context, workspace, visit, trip)
                variants = []
                for number, platform in enumerate(frontend.platforms):
                    place = workspace / f"platform-{number}"
                    place.mkdir(mode=0o711)
                    wanted = replace(asked, platform="" if platform == str(host()) else platform)
                    variants.append((platform, await self._one(wanted, context, place, visit, trip)))
        return Built("", _of_platforms(variants), trip, variants)

    async def _one(self, asked: BuildOptions, context: Context, workspace: Path, visit: Visit, trip: Trip) -> Built:
        try:
            result = await self._builds.make(asked, context, workspace, visit)
        except StepFailed as failure:
            raise RpcFailed("\n".join(filter(None, (failure.process_message, failure.hint)))) from None
        return Built(result.image_id, {CONFIG: json.dumps(result.config).encode()}, trip)

    async def export(
        self, built: Built, exporters: Sequence[Exporter], session: str, board: Board, sessions: Sessions
    ) -> dict[str, str]:
        """See exports.py."""
        return await self._exports.export(built, exporters, session, board, sessions)

    async def export_cache(
        self, built: Built, exports: Sequence[CacheEntry], session: str, board: Board, sessions: Sessions
    ) -> dict[str, str]:
        """See caches.py.  What every image is anyway needs nothing (``inline``)."""
        wanted = [entry for entry in exports if entry.type != "inline"]
        if not wanted:
            return {}
        if not isinstance(built.trip, Trip):
            raise Invalid("there is no cache to export: the image is the result of another build")
        client = await sessions.get(session)
        with self._builds.guest() as workspace:
            return await self._caches.take_away(wanted, client, keys(client), built.trip, workspace, board)

    async def image_config(self, name: str, platform: str | None, board: Board) -> tuple[str, bytes]:
        """Resolve an image, pulling it if it lacks."""
        images = BaseImages(self._builds.images, self._builds.puller, _nobody)
        with board.step(f"[internal] load metadata for {name}"):
            found = await images.resolve(name, platform, pull=False, progress=Silent())
        return found.id, json.dumps(dict(found.config)).encode()

    # -- files of results ----------------------------------------------------------------------------------------

    async def read(self, image_id: str, path: str, offset: int, length: int) -> bytes:
        """A part of a file."""
        size = min(length, FILE_LIMIT) if length > 0 else FILE_LIMIT + 1

        def work() -> bytes:
            with self._file(image_id, path) as root, open(root.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                file.seek(max(0, offset))
                return file.read(size)

        data = await asyncio.to_thread(work)
        if len(data) > FILE_LIMIT:
            raise Invalid(f"{path} is larger than {FILE_LIMIT} bytes")
        return data

    async def stat(self, image_id: str, path: str) -> Stat:
        """One file; links are followed."""

        def work() -> Stat:
            with self._file(image_id, path) as root:
                return describe(root, root.realpath(path), os.path.basename(path.rstrip("/")))

        return await asyncio.to_thread(work)

    async def list(self, image_id: str, path: str, pattern: str) -> list[Stat]:
        """A directory's entries."""

        def work() -> Sequence[Stat]:
            with self._file(image_id, path) as root:
                names = sorted(root.list(path or "/"))
                wanted = [name for name in names if not pattern or fnmatch.fnmatchcase(name, pattern)]
                return [describe(root, os.path.join(path, name), name) for name in wanted]

        return list(await asyncio.to_thread(work))

    @contextlib.contextmanager
    def _file(self, image_id: str, path: str) -> Iterator[Root]:
        with self._exports.root(image_id) as root:
            try:
                yield root
            except FileNotFoundError:
                raise NotFound(f"open {path}: no such file or directory") from None
            except OSError as error:
                raise Invalid(f"open {path}: {error.strerror}") from None

    # -- about itself --------------------------------------------------------------------------------------------

    def worker(self) -> WorkerRecord:
        """The one worker there is."""
        here = host()
        labels = {
            "org.mobyproject.buildkit.worker.executor": "corten",
            "org.mobyproject.buildkit.worker.hostname": machine.node(),
            # buildx: by this label it knows an engine that keeps indexes whole, and offers what needs that: exported
            # caches, several platforms at once, the exporters oci and docker.
            "org.mobyproject.buildkit.worker.snapshotter": "overlayfs",
            "org.mobyproject.buildkit.worker.moby.host-gateway-ip": self._gateway_ip(),
        }
        return WorkerRecord(
            self._identity,
            {name: value for name, value in labels.items() if value},
            [Platform(here.architecture, here.os, here.variant)],
            BuildkitVersion("corten", __version__),
        )

    def usage(self) -> Sequence[UsageRecord]:
        """What the cache holds."""
        return records(self._builds.usage())

    def prune(self, request: PruneRequest) -> Sequence[UsageRecord]:
        """Forget what the cache holds."""
        return pruned(self._builds, request)


def _of_platforms(variants: Sequence[tuple[str, Built]]) -> dict[str, bytes]:
    """What a result of several platforms says of them."""
    listed = [{"ID": name, "Platform": PlatformName.parse(name).to_json()} for name, _ in variants]
    configs = {f"{CONFIG}/{name}": each.metadata[CONFIG] for name, each in variants}
    return {"refs.platforms": json.dumps({"Platforms": listed}).encode(), **configs}


async def _nobody(registry: str) -> Credentials:
    return NOBODY
