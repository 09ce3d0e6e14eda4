"""Pushing: an image here becomes a name at a registry.

Owns: which names go, the manifest, and the making of compressed layers: each is made once, several at a time, and kept.
An image that was pulled goes out with the very manifest it came with.  For transfers read distribution/.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from corten.distribution.model import Credentials
from corten.engine.images.ground import ImageGround, Progress
from corten.errors import CortenError, NotFound
from corten.spec import media_types
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.image import Manifest, chain_ids
from corten.spec.platform import Platform
from corten.spec.reference import Reference
from corten.store.images import ImageRecord
from corten.store.layers.printing import Source

# Repositories to offer as the source of a layer; each that has not got it costs a request.
MOUNT_SOURCES = 3


class Pusher:
    """Pushes images."""

    def __init__(self, ground: ImageGround) -> None:
        self._ground = ground
        # A layer that two pushes need is compressed by the first.
        self._making: dict[Digest, asyncio.Lock] = {}

    async def push(
        self, reference: Reference, platform: Platform | None, credentials: Credentials, progress: Progress
    ) -> list[dict[str, Any]]:
        """Offer one tag, or every tag of a repository that is here; what the registry has now."""
        progress.message(f"The push refers to repository [{reference.name}]")
        results = []
        for each, record in self._wanted(reference):
            has = record.config.platform
            if platform is not None and not has.matches(platform):
                raise NotFound(
                    f"image with reference {each.familiar()} was found but its platform ({has}) does not match the "
                    f"specified platform ({platform})"
                )
            results.append(await self._one(each, record, credentials, progress))
        return results

    def _wanted(self, reference: Reference) -> list[tuple[Reference, ImageRecord]]:
        records = self._ground.images.all()
        local = [(name, record) for record in records for name in record.references if name.name == reference.name]
        if not local:
            raise NotFound(f"An image does not exist locally with the tag: {reference.familiar_name}")
        if reference.tag is None:
            return sorted(local, key=lambda pair: pair[0].tag or "")
        chosen = [pair for pair in local if pair[0].tag == reference.tag]
        if not chosen:
            raise NotFound(f"tag does not exist: {reference.familiar()}")
        return chosen

    async def _one(
        self, reference: Reference, record: ImageRecord, credentials: Credentials, progress: Progress
    ) -> dict[str, Any]:
        data, manifest = await self._manifest(record)
        pushed = await self._ground.distribution.push(
            reference,
            data,
            manifest.media_type,
            [*manifest.layers, manifest.config],
            self._ground.content,
            credentials=credentials,
            progress=_WithoutConfig(progress, manifest.config.digest.short),
            mount_from=self._elsewhere(reference, record),
        )
        described = Descriptor(manifest.media_type, pushed.digest, len(data))
        self._ground.content.write(data)
        self._ground.images.add(record.config.to_bytes(), manifest=described)
        self._ground.images.record_digest(reference, pushed.digest, record.id)
        progress.message(f"{reference.tag}: digest: {pushed.digest} size: {len(data)}")
        self._ground.publish("push", record.id, actor=reference.familiar(), name=reference.familiar_name)
        return {"Tag": reference.tag, "Digest": str(pushed.digest), "Size": len(data)}

    def _elsewhere(self, reference: Reference, record: ImageRecord) -> list[str]:
        """Other repositories of the same registry that have some of its layers, those with most first."""
        mine = set(record.config.diff_ids)
        shared: Counter[str] = Counter()
        for other in self._ground.images.all():
            count = len(mine.intersection(other.config.diff_ids))
            for name in other.repo_digests if count else ():
                if name.registry == reference.registry and name.repository != reference.repository:
                    shared[name.repository] = max(shared[name.repository], count)
        return [repository for repository, _ in shared.most_common(MOUNT_SOURCES)]

    async def _manifest(self, record: ImageRecord) -> tuple[bytes, Manifest]:
        """The manifest it came with, if all of it is still here; else one made of its layers."""
        kept = self._kept(record)
        if kept is not None:
            return kept
        chains = chain_ids(record.config.diff_ids)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._layer(diff_id, chain))
                for diff_id, chain in zip(record.config.diff_ids, chains, strict=True)
            ]
        config = record.config.to_bytes()
        manifest = Manifest(
            config=Descriptor(media_types.DOCKER_CONFIG, record.id, len(config)),
            layers=tuple(task.result() for task in tasks),
            media_type=media_types.DOCKER_MANIFEST,
        )
        return manifest.to_bytes(), manifest

    def _kept(self, record: ImageRecord) -> tuple[bytes, Manifest] | None:
        if record.manifest is None:
            return None
        try:
            data = self._ground.content.read(record.manifest.digest)
            manifest = Manifest.parse(data)
        except CortenError:
            return None
        is_whole = all(self._ground.content.has(layer.digest) for layer in manifest.layers)
        return (data, manifest) if is_whole else None

    async def _layer(self, diff_id: Digest, chain: Digest) -> Descriptor:
        """The layer's gzip blob, made now if there is none."""
        lock = self._making.setdefault(diff_id, asyncio.Lock())
        try:
            async with lock:
                found = self._ground.images.layer_blob(diff_id, media_types.DOCKER_LAYER_GZIP)
                if found is None:
                    found = await self._compress(diff_id, chain)
                return found
        finally:
            if not lock.locked():
                self._making.pop(diff_id, None)

    async def _compress(self, diff_id: Digest, chain: Digest) -> Descriptor:
        ground = self._ground
        other = ground.images.layer_blob(diff_id)
        if other is not None and media_types.compression_of(other.media_type) == "gzip":
            return Descriptor(media_types.DOCKER_LAYER_GZIP, other.digest, other.size)
        with ground.scratch() as scratch:
            out = scratch / "layer"
            printed = await ground.workers.print_layer(
                layer_source(ground, diff_id, chain), out, "gzip", expected=diff_id
            )
            ground.content.adopt(out, printed.digest)
        blob = Descriptor(media_types.DOCKER_LAYER_GZIP, printed.digest, printed.size)
        ground.images.record_layer_blob(diff_id, blob)
        return blob


def layer_source(ground: ImageGround, diff_id: Digest, chain: Digest) -> Source:
    """Where a layer's tar can be had from: a blob, its files with the recipe, its files alone."""
    blob = ground.images.layer_blob(diff_id)
    if blob is not None:
        return Source(blob=ground.content.path(blob.digest))
    recipe = ground.layout.recipes / diff_id.hex
    return Source(recipe=recipe if recipe.exists() else None, tree=ground.snapshots.upper(str(chain)))


class _WithoutConfig:
    """docker: shows layers only; the config goes up unseen."""

    def __init__(self, progress: Progress, config: str) -> None:
        self._progress = progress
        self._config = config

    def update(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        if id != self._config:
            self._progress.update(id, status, current, total)

    def message(self, status: str, id: str | None = None) -> None:
        self._progress.message(status, id)
