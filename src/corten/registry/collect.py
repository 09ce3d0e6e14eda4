"""Garbage collection while serving: mark what manifests need, sweep the rest once it is old.

Owns: what is removed and when.  Nothing that a push touched within the grace period is removed (repositories.py tells
who touches), and each removal looks again under ``exclusive``, so a push in any process either sees the blob gone
and sends it, or touched it in time.  Killed at any point, the next run goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

from corten.errors import Conflict
from corten.registry.config import CollectOptions
from corten.registry.manifest import Reading
from corten.registry.metrics import Metrics
from corten.registry.repositories import Repositories, Repository, blob_key
from corten.spec.digest import Digest

_log = logging.getLogger(__name__)
_RETRY = 60.0
_CLOCK_GRAIN = 0.05  # file systems stamp with a clock that lags by some milliseconds


@dataclass(slots=True)
class Collected:
    """What a run removed (or, in a dry run, would remove)."""

    manifests: int = 0
    links: int = 0
    blobs: int = 0
    bytes: int = 0
    uploads: int = 0


class Collector:
    """Collects a store's garbage."""

    def __init__(self, repositories: Repositories, options: CollectOptions, metrics: Metrics | None = None) -> None:
        self._repositories = repositories
        self._driver = repositories.driver
        self._options = options
        self._metrics = metrics
        self._planned: dict[str, set[Digest]] = {}  # in a dry run: what each repository would hold no longer

    async def run(self) -> None:
        """Collect from time to time until cancelled."""
        while self._options.every > 0:
            await asyncio.sleep(self._options.every)
            try:
                await self.collect()
            except Exception:
                _log.exception("collection failed; it is tried again")
                await asyncio.sleep(_RETRY)

    async def collect(self, *, dry_run: bool = False) -> Collected:
        """One run."""
        done = Collected()
        self._planned = {}
        await self._uploads(done, dry_run)
        for name in await self._repositories.names():
            repository = self._repositories.at(name)
            if self._options.untagged_after > 0:
                await self._untagged(repository, done, dry_run)
            await self._links(repository, done, dry_run)
        await self._blobs(done, dry_run)
        if self._metrics is not None and not dry_run:
            self._metrics.count("collected_blobs", done.blobs)
            self._metrics.count("collected_bytes", done.bytes)
        _log.info("collected: %s%s", done, " (dry run)" if dry_run else "")
        return done

    async def _uploads(self, done: Collected, dry_run: bool) -> None:
        """Uploads that nobody went on with."""
        for upload_id, modified in await self._driver.uploads():
            if time.time() - modified < self._options.uploads_after:
                continue
            try:
                upload = await self._driver.open_upload(upload_id)
            except Conflict:  # somebody is writing it after all
                continue
            if upload is None:
                continue
            done.uploads += 1
            await (upload.close() if dry_run else upload.abort())

    async def _untagged(self, repository: Repository, done: Collected, dry_run: bool) -> None:
        """Manifests that no tag, no index and no living subject keeps."""
        async with self._driver.exclusive():
            held = set(await repository.manifests())
            living = await self._living(repository, held)
            now = time.time()
            for digest in held - living:
                if await repository.manifest_age(digest, now) < self._options.untagged_after:
                    continue
                done.manifests += 1
                if dry_run:
                    self._plan(repository, digest)
                else:
                    await repository.drop_manifest(digest)

    async def _living(self, repository: Repository, held: set[Digest]) -> set[Digest]:
        """Tagged manifests, parts of living indexes, and referrers of living manifests."""
        readings: dict[Digest, Reading] = {}
        referrers: dict[Digest, set[Digest]] = {}
        for digest in held:
            if (found := await repository.manifest(digest)) is not None:
                readings[digest] = Reading.of(found[1], found[0].media_type)
                if (subject := readings[digest].subject) is not None:
                    referrers.setdefault(subject, set()).add(digest)
        waiting = [named for tag in await repository.tags() if (named := await repository.resolve(tag))]
        living: set[Digest] = set()
        while waiting:
            digest = waiting.pop()
            if digest not in living and digest in readings:
                living.add(digest)
                waiting += [*readings[digest].manifests, *referrers.get(digest, ())]
        return living

    async def _links(self, repository: Repository, done: Collected, dry_run: bool) -> None:
        """Blobs of a repository that none of its manifests needs."""
        needed: dict[Digest, tuple[Digest, ...]] = {}
        await self._read_needs(repository, needed)
        marked = set[Digest]().union(*needed.values())
        candidates = [digest for digest in await repository.blobs() if digest not in marked]
        if not candidates:
            await self._forget_empty(repository, dry_run)
            return
        async with self._driver.exclusive():
            await self._read_needs(repository, needed)  # those pushed meanwhile
            marked = set[Digest]().union(*needed.values())
            now = time.time()
            for digest in candidates:
                if digest in marked or await repository.blob_age(digest, now) < self._options.grace:
                    continue
                done.links += 1
                if dry_run:
                    self._plan(repository, digest)
                else:
                    await repository.unlink_blob(digest)
        await self._forget_empty(repository, dry_run)

    async def _read_needs(self, repository: Repository, needed: dict[Digest, tuple[Digest, ...]]) -> None:
        for digest in await repository.manifests():
            if digest not in needed and digest not in self._planned.get(repository.name, ()):
                found = await repository.manifest(digest)
                needed[digest] = Reading.of(found[1], found[0].media_type).blobs if found else ()

    async def _forget_empty(self, repository: Repository, dry_run: bool) -> None:
        if dry_run or await repository.manifests() or await repository.blobs():
            return
        async with self._driver.exclusive():
            await self._driver.prune(repository.key)

    async def _blobs(self, done: Collected, dry_run: bool) -> None:
        """Bytes that no repository holds, nor has come to hold since we looked."""
        since = time.time() - _CLOCK_GRAIN
        held = await self._held()
        for algorithm in await self._driver.children("blobs"):
            for shelf in await self._driver.children(f"blobs/{algorithm}"):
                for name in await self._driver.children(f"blobs/{algorithm}/{shelf}"):
                    digest = Digest(algorithm, name)
                    if digest not in held and await self._is_old(digest, since):
                        await self._remove(digest, since, done, dry_run)

    async def _held(self) -> set[Digest]:
        held: set[Digest] = set()
        for name in await self._repositories.names():
            repository = self._repositories.at(name)
            here = {*await repository.blobs(), *await repository.manifests()}
            held |= here - self._planned.get(name, set())
        return held

    def _plan(self, repository: Repository, digest: Digest) -> None:
        self._planned.setdefault(repository.name, set()).add(digest)

    async def _is_old(self, digest: Digest, since: float) -> bool:
        found = await self._driver.stat(blob_key(digest))
        return found is not None and found.modified < min(since, time.time() - self._options.grace)

    async def _remove(self, digest: Digest, since: float, done: Collected, dry_run: bool) -> None:
        async with self._driver.exclusive():
            found = await self._driver.stat(blob_key(digest))
            if found is None or not await self._is_old(digest, since):  # a push touched it meanwhile
                return
            done.blobs += 1
            done.bytes += found.size
            if not dry_run:
                await self._driver.delete(blob_key(digest))
