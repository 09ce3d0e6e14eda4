"""Pushing: an image here becomes a name at a registry.

Owns: which names go, the manifest, and the making of compressed layers: each is made once, several at a time, and kept.
An image that was pulled goes out with the very manifest it came with; an index whole, where it can (wholes.py).
For transfers read distribution/.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from corten.distribution.model import Credentials
from corten.engine.images import names
from corten.engine.images.ground import ImageGround, Progress
from corten.engine.images.wholes import Tell, Whole, WithoutConfig, instead
from corten.errors import CortenError, NotFound
from corten.spec import media_types
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.image import Index, Manifest, chain_ids
from corten.spec.platform import Platform
from corten.spec.reference import Reference
from corten.store.images import ImageRecord
from corten.store.layers.printing import Source
from corten.store.sources import snapshot_source

# Repositories to offer as the source of a layer; each that has not got it costs a request.
MOUNT_SOURCES = 3


@dataclass(frozen=True, slots=True)
class _Work:
    """A name to push, as whom, and who listens."""

    reference: Reference
    credentials: Credentials
    progress: Progress
    tell: Tell


class Pusher:
    """Pushes images."""

    def __init__(self, ground: ImageGround) -> None:
        self._ground = ground
        # A layer that two pushes need is compressed by the first.
        self._making: dict[Digest, asyncio.Lock] = {}

    async def push(
        self,
        reference: Reference,
        platform: Platform | None,
        credentials: Credentials,
        progress: Progress,
        tell: Tell,
    ) -> None:
        """Offer one tag, or every tag of a repository that is here; ``tell`` hears what the registry has now."""
        progress.message(f"The push refers to repository [{reference.name}]")
        for each, record in self._wanted(reference):
            work = _Work(each, credentials, progress, tell)
            target = self._ground.images.target_of(str(each))
            whole = Whole.of(self._ground, each, target) if target is not None else None
            if platform is not None:
                found = names.find(self._ground.images, each.familiar(), platform)
                await self._one(work, found, _manifest_in(whole, found))
            elif whole is not None:
                await self._index(work, record, whole)
            else:
                await self._one(work, record, record.manifest)

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

    async def _index(self, work: _Work, record: ImageRecord, whole: Whole) -> None:
        """docker: the index if all of it can be had, else the one image of it that is here, else nothing."""
        if whole.absent and not await whole.can_go(work.credentials):
            here = whole.runnable
            if len(here) != 1:
                raise whole.explain(work.tell)
            found = self._ground.images.get(here[0].image) if here[0].image is not None else record
            work.tell(instead(whole, await self._one(work, found, here[0].descriptor)))
            return
        await whole.push(work.credentials, work.progress, self._elsewhere(work.reference, record), work.tell)
        self._done(work, record.id, whole.descriptor)

    async def _one(self, work: _Work, record: ImageRecord, kept: Descriptor | None) -> Descriptor:
        """One image, with the manifest ``kept`` if all of that is here; the descriptor of what went."""
        data, manifest = await self._manifest(record, kept)
        reference = work.reference
        pushed = await self._ground.distribution.push(
            reference,
            data,
            manifest.media_type,
            [*manifest.layers, manifest.config],
            self._ground.content,
            credentials=work.credentials,
            progress=WithoutConfig(work.progress, manifest.config.digest.short),
            mount_from=self._elsewhere(reference, record),
        )
        described = Descriptor(manifest.media_type, pushed.digest, len(data))
        self._ground.content.write(data)
        self._ground.images.add(record.config.to_bytes(), manifest=described)
        self._done(work, record.id, described)
        return described

    def _done(self, work: _Work, image: Digest, pushed: Descriptor) -> None:
        reference = work.reference
        self._ground.images.record_digest(reference, pushed.digest, image)
        work.progress.message(f"{reference.tag}: digest: {pushed.digest} size: {pushed.size}")
        self._ground.publish("push", image, actor=reference.familiar(), name=reference.familiar_name)
        work.tell({"Tag": reference.tag, "Digest": str(pushed.digest), "Size": pushed.size})

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

    async def manifest_of(self, record: ImageRecord) -> Descriptor:
        """The manifest that an image has, or is given now."""
        data, manifest = await self._manifest(record, record.manifest)
        described = Descriptor(manifest.media_type, self._ground.content.write(data), len(data))
        self._ground.images.add(record.config.to_bytes(), manifest=described)
        return described

    async def index_of(self, images: Sequence[Digest]) -> Digest:
        """An index of these images, kept; name it, or it goes with the next collection."""
        listed = []
        for image in images:
            record = self._ground.images.get(image)
            listed.append(replace(await self.manifest_of(record), platform=record.config.platform))
        return self._ground.content.write(Index(tuple(listed), media_types.DOCKER_INDEX).to_bytes())

    async def _manifest(self, record: ImageRecord, known: Descriptor | None) -> tuple[bytes, Manifest]:
        """The manifest it came with, if all of it is still here; else one made of its layers."""
        kept = self._kept(known)
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

    def _kept(self, known: Descriptor | None) -> tuple[bytes, Manifest] | None:
        if known is None:
            return None
        try:
            data = self._ground.content.read(known.digest)
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
    """Where a layer's tar can be had from: a blob, or the snapshot."""
    blob = ground.images.layer_blob(diff_id)
    if blob is not None:
        return Source(blob=ground.content.path(blob.digest))
    return snapshot_source(ground.layout, ground.snapshots, diff_id, chain)


def _manifest_in(whole: Whole | None, record: ImageRecord) -> Descriptor | None:
    """The manifest of an image as an index has it; else the one that is known of the image."""
    members = whole.members if whole is not None else ()
    return next((member.descriptor for member in members if member.image == record.id), record.manifest)
