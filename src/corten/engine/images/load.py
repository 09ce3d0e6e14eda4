"""Loading: the images of an archive, Docker's or an OCI layout, become images here.

Owns: names, which only move when their image is here, and Docker's sentences.  For archives read store/archives/.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from corten.engine.images.ground import ImageGround, Progress
from corten.engine.images.imports import spool
from corten.errors import NotFound
from corten.spec.digest import Digest
from corten.spec.image import chain_ids
from corten.spec.platform import Platform
from corten.spec.reference import Reference
from corten.store.archives.load import load_image
from corten.store.archives.read import ArchivedImage


class Loader:
    """Takes images out of archives."""

    def __init__(self, ground: ImageGround) -> None:
        self._ground = ground

    async def load(
        self, body: AsyncIterator[bytes], progress: Progress, *, quiet: bool, platform: Platform | None
    ) -> list[str]:
        """Take every image out; a sentence about each."""
        said: list[str] = []
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
        said = [sentence for reference in archived.references for sentence in self._name(image, reference)]
        self._ground.publish("load", image)
        return said or [f"Loaded image ID: {image}"]

    def _name(self, image: Digest, reference: Reference) -> list[str]:
        """Give a name; say so, and say who lost it."""
        before: Digest | None = None
        with contextlib.suppress(NotFound):
            before = self._ground.images.find(str(reference)).id
        self._ground.images.tag(reference, image)
        lost = f"The image {reference.familiar()} already exists, renaming the old one with ID {before} to empty string"
        return [*([lost] if before is not None and before != image else []), f"Loaded image: {reference.familiar()}"]
