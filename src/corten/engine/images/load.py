"""Loading: the images of an archive, Docker's or an OCI layout, become images here.

Owns: names, which only move when their image is here, and Docker's sentences.  For archives read store/archives/.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from corten.engine.images.ground import ImageGround, Progress
from corten.engine.images.imports import spool
from corten.errors import NotFound
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.image import Manifest, chain_ids
from corten.spec.platform import Platform
from corten.spec.reference import Reference
from corten.store.archives.load import load_image
from corten.store.archives.read import ArchivedImage, Listed
from corten.store.content import CHUNK, Content
from corten.store.layers.stream import Extent


class Loader:
    """Takes images out of archives."""

    def __init__(self, ground: ImageGround) -> None:
        self._ground = ground

    async def load(
        self, body: AsyncIterator[bytes], progress: Progress, *, quiet: bool, platform: Platform | None
    ) -> list[str]:
        """Take every image out; a sentence about each."""
        said: list[str] = []
        self._ground.workers.warm()
        with self._ground.scratch() as scratch:
            path = scratch / "load.tar"
            await spool(body, path)
            for archived in await self._ground.workers.read_archive(path, scratch, platform):
                said.extend(await self._one(archived, None if quiet else progress))
        return said

    async def _one(self, archived: ArchivedImage, progress: Progress | None) -> list[str]:
        def told(diff_id: Digest, done: int, size: int) -> None:
            if progress is not None:
                progress.update(diff_id.short, "Loading layer", done, size)

        with self._ground.holds.keep(chain_ids(archived.diff_ids)):
            image = await load_image(archived, self._ground.unpacker, self._ground.images, told)
            index: Digest | None = None
            if archived.listed is not None:
                index = await asyncio.to_thread(keep_listed, self._ground, archived, archived.listed)
        if archived.listed is not None and not archived.listed.is_last:
            return []  # one of several platforms: they are named, and told, together
        said = [sentence for reference in archived.references for sentence in self._name(image, reference, index)]
        self._ground.publish("load", image)
        return said or [f"Loaded image ID: {image}"]

    def _name(self, image: Digest, reference: Reference, index: Digest | None) -> list[str]:
        """Give a name; say so, and say who lost it."""
        before: Digest | None = None
        with contextlib.suppress(NotFound):
            before = self._ground.images.find(str(reference)).id
        self._ground.images.tag(reference, image, index)
        image = self._ground.images.find(str(reference)).id
        lost = f"The image {reference.familiar()} already exists, renaming the old one with ID {before} to empty string"
        return [*([lost] if before is not None and before != image else []), f"Loaded image: {reference.familiar()}"]


def keep_listed(ground: ImageGround, archived: ArchivedImage, listed: Listed) -> Digest:
    """Keep what an index needs to go out again as it came: the documents and the very blobs; the index's digest."""
    for digest, extent in listed.blobs:
        if not ground.content.has(digest):
            _copy(ground.content, digest, extent)
    manifest = Manifest.parse(listed.manifest)
    described = Descriptor(manifest.media_type, ground.content.write(listed.manifest), len(listed.manifest))
    for diff_id, layer in zip(archived.diff_ids, manifest.layers, strict=True):
        ground.images.record_layer_blob(diff_id, layer)
    index = ground.content.write(listed.index)
    ground.images.add(archived.config, manifest=described)
    return index


def _copy(content: Content, digest: Digest, extent: Extent) -> None:
    with open(extent.path, "rb") as file, content.ingest(f"load {digest}") as ingest:
        file.seek(extent.offset)
        ingest.truncate()
        left = extent.size
        while left is None or left > 0:
            data = file.read(CHUNK if left is None else min(CHUNK, left))
            if not data:
                break
            ingest.write(data)
            left = None if left is None else left - len(data)
        ingest.commit(digest)
