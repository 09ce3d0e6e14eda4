"""The checker: does every record have what it names, and is every byte what it was?

Owns: finding faults, each with its subject and what to do.  Repairs nothing and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from corten.errors import CortenError
from corten.spec.image import chain_ids
from corten.store.content import Content
from corten.store.db import Database
from corten.store.images import Images
from corten.store.layers.printing import Source
from corten.store.layout import Layout
from corten.store.snapshots.base import Snapshots
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

    async def _blobs(self) -> list[Fault]:
        return [
            Fault(f"blob {digest}", "its bytes have another digest", "Pull the image again.")
            for digest in list(self._content.digests())
            if await self._workers.hash(self._content.path(digest), digest.algorithm) != digest
        ]

    async def _layers(self) -> list[Fault]:
        """Layers whose exact tar we promise to print: it must still have its diff ID."""
        faults = []
        seen: set[str] = set()
        for id in self._images.ids():
            config = self._images.config(id)
            for diff_id, chain in zip(config.diff_ids, chain_ids(config.diff_ids), strict=True):
                if str(chain) in seen or not self._snapshots.exists(str(chain)):
                    continue
                seen.add(str(chain))
                recipe = self._layout.recipes / diff_id.hex
                source = Source(recipe=recipe if recipe.exists() else None, tree=self._snapshots.upper(str(chain)))
                if source.recipe is None and self._images.layer_blob(diff_id) is not None:
                    continue  # its blob holds the exact bytes, and was checked
                try:
                    await self._workers.print_layer(source, Path("/dev/null"), expected=diff_id)
                except CortenError as error:
                    faults.append(Fault(f"layer {chain}", error.message, "Remove the image and pull it again."))
        return faults
