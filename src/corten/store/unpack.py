"""Blobs of layers -> committed snapshots, several at once.

    async with unpacker.session(diff_ids) as session:
        await session.add(2, path)      # in any order, as blobs arrive
        await session.add(0, path)
        chain = await session.finish()

A layer is unpacked into a directory of its own without waiting for the one below it, and becomes a snapshot when the
one below has (drivers without layers wait).  Two sessions that unpack the same layer do not disturb one another: the
second finds it there, or drops its own.  What a killed process leaves is a directory without a record.
Owns: the order.  Unpacking: layers/apply.py through workers.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from corten.errors import Internal, Invalid
from corten.spec.digest import Digest
from corten.spec.image import chain_step
from corten.store.layers.apply import DEFAULT_LIMIT, Applied, Whiteouts
from corten.store.layers.stream import Extent
from corten.store.layout import Layout
from corten.store.snapshots.base import Snapshots, Staged, Usage
from corten.store.tree import copy_attributes
from corten.store.workers import Workers

Progress = Callable[[int], None]


@dataclass(slots=True)
class _Layer:
    """One layer of a session on its way."""

    blob: Extent | None = None
    staged: Staged | None = None
    applied: Applied | None = None
    progress: Progress | None = None


class Unpacker:
    """Makes sessions; remembers what is being unpacked now."""

    def __init__(self, snapshots: Snapshots, workers: Workers, layout: Layout, *, limit: int = DEFAULT_LIMIT) -> None:
        self.snapshots = snapshots
        self.workers = workers
        self.recipes = layout.recipes
        self.limit = limit
        self._locks: dict[Digest, asyncio.Lock] = {}

    def session(self, diff_ids: Sequence[Digest] | None = None) -> Unpacking:
        """Unpack one image; without ``diff_ids`` they are found, and checked against those given to finish()."""
        return Unpacking(self, diff_ids)

    async def unpack_layer(
        self, blob: Extent | Path, diff_id: Digest | None, parent: Digest | None, progress: Progress | None = None
    ) -> tuple[Digest, Digest]:
        """Unpack one layer onto a committed ``parent``; its diff ID and chain ID."""
        if parent is not None:
            self.snapshots.stat(str(parent))
        if diff_id is not None and self.snapshots.exists(str(chain_step(parent, diff_id))):
            return diff_id, chain_step(parent, diff_id)
        staged = await asyncio.to_thread(self.snapshots.stage, str(parent) if parent else None)
        try:
            applied = await self.apply(blob, staged, diff_id, lowest=parent is None, progress=progress)
            await self.workers.settle(staged.path, staged.lowers, applied)
        except BaseException:
            self.snapshots.unstage(staged)
            raise
        chain = chain_step(parent, applied.diff_id)
        self.land(staged, applied, chain, parent)
        return applied.diff_id, chain

    async def apply(
        self, blob: Extent | Path, staged: Staged, diff_id: Digest | None, *, lowest: bool, progress: Progress | None
    ) -> Applied:
        """Unpack a blob into a staged directory, and keep the recipe of its tar, or keep and index the tar itself."""
        whiteouts = Whiteouts.DROP if lowest else Whiteouts.KEEP if self.snapshots.layered else Whiteouts.DELETE
        recipe = self.recipes / f".staged-{self.snapshots.name}-{staged.id}"
        extent = as_extent(blob)
        if self.snapshots.keeps_tars:
            indexed = await self.workers.index(
                extent, staged.path.parent, lowest=lowest, expected=diff_id, limit=self.limit, progress=progress
            )
            if indexed is not None:
                return indexed
        applied = await self.workers.apply(
            Path(extent.path),
            staged.path,
            offset=extent.offset,
            size=extent.size,
            whiteouts=whiteouts,
            expected=diff_id,
            limit=self.limit,
            recipe=recipe,
            beds=staged.path.parent / "beds",
            progress=progress,
        )
        if applied.recipe:
            recipe.rename(self.recipes / applied.diff_id.hex)
        return applied

    def land(self, staged: Staged, applied: Applied, chain: Digest, parent: Digest | None) -> None:
        """Make a staged layer a committed snapshot."""
        if parent is not None and not applied.root and not applied.indexed:
            # The tar says nothing of the root itself: it stays as it is below.
            below = self.snapshots.upper(str(parent))
            copy_attributes(str(below), str(staged.path), below.stat(), xattrs=False)
        usage = Usage(applied.size, applied.inodes)
        self.snapshots.land(staged, str(chain), str(parent) if parent else None, usage)

    def lock(self, chain: Digest) -> asyncio.Lock:
        """Held while a layer is being unpacked to become ``chain``."""
        return self._locks.setdefault(chain, asyncio.Lock())

    def unlock(self, chain: Digest) -> None:
        """Forget a lock that nobody holds."""
        lock = self._locks.get(chain)
        if lock is not None and not lock.locked():
            del self._locks[chain]


def as_extent(blob: Extent | Path) -> Extent:
    """A whole file, or the part of one that was given."""
    return blob if isinstance(blob, Extent) else Extent(str(blob))


class Unpacking:
    """One image's layers on their way.  Leaving without finish() drops what did not become a snapshot."""

    def __init__(self, unpacker: Unpacker, diff_ids: Sequence[Digest] | None) -> None:
        self._unpacker = unpacker
        self._snapshots = unpacker.snapshots
        self._diff_ids = list(diff_ids) if diff_ids is not None else None
        self._layers: dict[int, _Layer] = {}
        self._landed: list[Digest] = []
        self._landing = asyncio.Lock()
        if self._diff_ids is not None:
            self._skip_known()

    def known(self, index: int) -> bool:
        """Is layer ``index`` a snapshot already, so that its blob is not needed?"""
        return index < len(self._landed)

    async def add(self, index: int, blob: Extent | Path, progress: Progress | None = None) -> Digest | None:
        """Unpack layer ``index`` from its blob; its diff ID, where that is known yet.  Invalid if it is not as said."""
        layer = self._layers.setdefault(index, _Layer())
        layer.blob, layer.progress = as_extent(blob), progress
        if self._snapshots.layered and not self.known(index):
            await self._stage(index, layer)
        await self._land_ready()
        if layer.applied is not None:
            return layer.applied.diff_id
        return self._diff_ids[index] if self._diff_ids is not None else None

    async def finish(self, diff_ids: Sequence[Digest] | None = None) -> Digest | None:
        """All layers are snapshots now: the chain ID of the last one, None for an image without layers."""
        if diff_ids is not None:
            if self._diff_ids is not None and list(diff_ids) != self._diff_ids:
                raise Internal("finish() was given other diff IDs than session()")
            self._diff_ids = list(diff_ids)
        if self._diff_ids is None:
            self._diff_ids = [layer.applied.diff_id for _, layer in sorted(self._layers.items()) if layer.applied]
        await self._land_ready()
        if len(self._landed) != len(self._diff_ids):
            raise Invalid(f"invalid image: layer {len(self._landed)} of {len(self._diff_ids)} is missing")
        return self._landed[-1] if self._landed else None

    async def __aenter__(self) -> Unpacking:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for layer in self._layers.values():
            if layer.staged is not None:
                self._snapshots.unstage(layer.staged)
                layer.staged = None

    async def _stage(self, index: int, layer: _Layer) -> None:
        if layer.blob is None:
            raise Internal("a layer without a blob")
        parent = self._landed[index - 1] if 0 < index <= len(self._landed) else None
        layer.staged = await asyncio.to_thread(self._snapshots.stage, str(parent) if parent else None)
        diff_id = self._diff_ids[index] if self._diff_ids is not None and index < len(self._diff_ids) else None
        layer.applied = await self._unpacker.apply(
            layer.blob, layer.staged, diff_id, lowest=index == 0, progress=layer.progress
        )

    async def _land_ready(self) -> None:
        """Make every layer a snapshot whose lower one is."""
        async with self._landing:
            while self._diff_ids is not None and len(self._landed) < len(self._diff_ids):
                index = len(self._landed)
                parent = self._landed[-1] if self._landed else None
                chain = chain_step(parent, self._diff_ids[index])
                layer = self._layers.get(index)
                if layer is None or layer.blob is None:
                    if not self._snapshots.exists(str(chain)):
                        return
                else:
                    if self._snapshots.layered and layer.applied is None:
                        return
                    await self._land(index, layer, chain, parent)
                self._landed.append(chain)

    async def _land(self, index: int, layer: _Layer, chain: Digest, parent: Digest | None) -> None:
        if self._snapshots.exists(str(chain)):
            return
        async with self._unpacker.lock(chain):
            if layer.applied is None:
                await self._stage(index, layer)
            if layer.staged is None or layer.applied is None:
                raise Internal("a layer that was not unpacked")
            if self._diff_ids is None or layer.applied.diff_id != self._diff_ids[index]:
                raise Invalid(
                    f"invalid layer {index}: its diff ID is {layer.applied.diff_id}, not what the config says"
                )
            if self._snapshots.layered:
                lowers = []
                if parent is not None and layer.applied.needs_lowers:
                    lowers = [self._snapshots.upper(str(parent)), *self._snapshots.lowers(str(parent))]
                await self._unpacker.workers.settle(layer.staged.path, lowers, layer.applied)
            elif layer.applied.links:
                raise Invalid(
                    f"invalid layer {index}: hard link to {layer.applied.links[0][1]!r}, which does not exist"
                )
            staged, layer.staged = layer.staged, None
            self._unpacker.land(staged, layer.applied, chain, parent)
        self._unpacker.unlock(chain)

    def _skip_known(self) -> None:
        """Layers that are snapshots already need no blob."""
        for diff_id in self._diff_ids or ():
            chain = chain_step(self._landed[-1] if self._landed else None, diff_id)
            if not self._snapshots.exists(str(chain)):
                return
            self._landed.append(chain)
