"""The checker: does every record have what it names, and is every byte what it was?

Owns: finding faults, each with its subject and what to do.  Repairs nothing and changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from corten.errors import CortenError, NotFound
from corten.spec.digest import Digest
from corten.spec.image import ImageConfig, chain_ids
from corten.store.content import Content
from corten.store.db import Database
from corten.store.images import Images
from corten.store.layout import Layout
from corten.store.snapshots.base import Snapshots
from corten.store.sources import snapshot_source
from corten.store.workers import Workers


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong."""

    subject: str
    problem: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.subject}: {self.problem}"


class Checker:
    """Looks at everything in one data root."""

    def __init__(
        self,
        database: Database,
        layout: Layout,
        content: Content,
        snapshots: Snapshots,
        images: Images,
        workers: Workers,
    ) -> None:
        self._database = database
        self._layout = layout
        self._content = content
        self._snapshots = snapshots
        self._images = images
        self._workers = workers

    async def check(self, *, deep: bool = True) -> list[Fault]:
        """Every fault.  Without ``deep`` only records are checked, and no bytes are read."""
        faults = [Fault("database", problem) for problem in self._database.integrity()]
        faults += self._records()
        faults += self._all_images()
        faults += self._documents()
        if deep:
            faults += await self._blobs()
            faults += await self._layers()
        return faults

    def _records(self) -> Iterator[Fault]:
        for info in self._snapshots.walk():
            if info.parent is not None and not self._snapshots.exists(info.parent):
                yield Fault(f"snapshot {info.key}", f"its parent {info.parent} is missing")
            try:
                upper = self._snapshots.upper(info.key)
            except (CortenError, OSError) as error:
                yield Fault(f"snapshot {info.key}", f"its directory cannot be read: {error}")
                continue
            if not upper.is_dir():
                yield Fault(f"snapshot {info.key}", f"its directory {upper} is missing")

    def _all_images(self) -> Iterator[Fault]:
        for id in self._images.ids():
            try:
                config = self._images.config(id)
                self._content.read(id)
            except CortenError as error:
                yield Fault(f"image {id}", error.message, "Remove the image and pull, load or build it again.")
                continue
            for chain in chain_ids(config.diff_ids):
                if not self._snapshots.exists(str(chain)):
                    yield Fault(f"image {id}", f"its layer {chain} is missing", "Pull, load or build it again.")

    def _documents(self) -> Iterator[Fault]:
        """Manifests, and the indexes that hold them, by which images are known elsewhere."""
        for manifest, image in self._images.indexes.manifests():
            if not self._content.has(manifest.digest):
                yield Fault(f"image {image}", f"its manifest {manifest.digest} is missing", "Pull the image again.")
        for digest in sorted(self._images.targets(), key=str):
            if not self._content.has(digest):
                yield Fault(f"index {digest}", "it is missing, and names name it", "Pull the image again.")

    async def _blobs(self) -> list[Fault]:
        corrupt = await self.corrupt_blobs()
        return [Fault(f"blob {digest}", "its bytes have another digest", "Pull the image again.") for digest in corrupt]

    async def corrupt_blobs(self) -> list[Digest]:
        """Every blob whose bytes are not what its name says."""
        digests = list(self._content.digests())
        sound = await asyncio.gather(*(self._is_sound(digest) for digest in digests))
        return [digest for digest, is_sound in zip(digests, sound, strict=True) if not is_sound]

    async def _is_sound(self, digest: Digest) -> bool:
        try:
            return await self._workers.hash(self._content.path(digest), digest.algorithm) == digest
        except CortenError:
            if not self._content.has(digest):
                return True  # removed while we looked at others
            raise

    async def _layers(self) -> list[Fault]:
        """Layers whose exact tar we promise to print: it must still have its diff ID."""
        wanted: dict[Digest, Digest] = {}
        for config in self._readable():
            wanted |= dict(zip(chain_ids(config.diff_ids), config.diff_ids, strict=True))
        found = await asyncio.gather(*(self._layer(chain, diff_id) for chain, diff_id in wanted.items()))
        return [fault for fault in found if fault is not None]

    def _readable(self) -> Iterator[ImageConfig]:
        """The configs that can be read; of the others _all_images() has told."""
        for id in self._images.ids():
            try:
                self._content.read(id)
                yield self._images.config(id)
            except CortenError:
                continue

    async def _layer(self, chain: Digest, diff_id: Digest) -> Fault | None:
        try:
            source = snapshot_source(self._layout, self._snapshots, diff_id, chain)
        except NotFound:
            return None  # told by _all_images(), or removed meanwhile
        if source.tar is None and source.recipe is None and self._images.layer_blob(diff_id) is not None:
            return None  # its blob holds the exact bytes, and was checked
        try:
            await self._workers.print_layer(source, Path("/dev/null"), expected=diff_id)
        except CortenError as error:
            if not self._snapshots.exists(str(chain)):
                return None
            return Fault(f"layer {chain}", error.message, "Remove the image and pull it again.")
        return None
