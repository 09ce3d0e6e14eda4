"""Collection: what nothing refers to goes.

Marked are: the configs, manifests and layer blobs of images; the indexes that names name, with what is here of them;
the snapshots of images' layers; what the caller names as roots (containers, build cache); what leases hold; and the
ancestors of all these snapshots.  Active snapshots are never swept: they belong to a container or a running step.
Young blobs are spared, for they may be part of a pull that is not an image yet.  Owns: plan() says what would go and
why it is not needed by anything; collect() does it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

from corten.errors import CortenError
from corten.spec.digest import Digest
from corten.spec.image import Manifest, chain_ids
from corten.store.content import Content
from corten.store.images import Images
from corten.store.layout import Layout
from corten.store.leases import Leases
from corten.store.snapshots.base import Kind, Snapshots

GRACE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Garbage:
    """What nothing refers to."""

    blobs: tuple[tuple[Digest, int], ...]
    snapshots: tuple[tuple[str, int], ...]  # children before parents
    recipes: tuple[str, ...]

    @property
    def size(self) -> int:
        """The bytes that would be free."""
        return sum(size for _, size in (*self.blobs, *self.snapshots))


class Collector:
    """Mark and sweep over one data root."""

    def __init__(self, layout: Layout, content: Content, snapshots: Snapshots, images: Images, leases: Leases) -> None:
        self._layout = layout
        self._content = content
        self._snapshots = snapshots
        self._images = images
        self._leases = leases

    def plan(
        self,
        *,
        snapshots: Iterable[str] = (),
        content: Iterable[Digest] = (),
        grace: float = GRACE_SECONDS,
        keep_layer_blobs: bool = True,
    ) -> Garbage:
        """What would go, given the caller's roots.  Without ``keep_layer_blobs`` compressed copies of layers go too."""
        held_content, held_snapshots = self._leases.held()
        blobs = {*content, *held_content}
        names = {*snapshots, *held_snapshots}
        diff_ids: set[Digest] = set()
        for id in self._images.ids():
            self._mark(id, blobs, names, diff_ids)
        for target in self._images.targets():
            self._mark_manifest(target, blobs)
            for member in self._images.indexes.members(target):
                if member.image is not None or not member.is_for_a_platform:
                    self._mark_manifest(member.descriptor.digest, blobs)
        if keep_layer_blobs:
            for diff_id in diff_ids:
                blob = self._images.layer_blob(diff_id)
                if blob is not None:
                    blobs.add(blob.digest)
        doomed = self._snapshots_beyond(names)
        kept_recipes = {diff_id.hex for diff_id in diff_ids}
        young = time.time() - grace
        recipes = tuple(
            name
            for name in sorted(os.listdir(self._layout.recipes))
            if name not in kept_recipes and (self._layout.recipes / name).stat().st_mtime < young
        )
        return Garbage(tuple(self._blobs_beyond(blobs, young)), tuple(doomed), recipes)

    def collect(
        self,
        *,
        snapshots: Iterable[str] = (),
        content: Iterable[Digest] = (),
        grace: float = GRACE_SECONDS,
        keep_layer_blobs: bool = True,
    ) -> Garbage:
        """Remove what plan() finds; what really went."""
        plan = self.plan(snapshots=snapshots, content=content, grace=grace, keep_layer_blobs=keep_layer_blobs)
        gone: list[tuple[str, int]] = []
        for name, size in plan.snapshots:
            try:
                self._snapshots.remove(name)
            except CortenError:
                continue  # somebody took it up meanwhile
            gone.append((name, size))
        for digest, _ in plan.blobs:
            self._content.delete(digest)
            self._images.forget_layer_blob(digest)
            self._images.indexes.forget_manifest(digest)
        for recipe in plan.recipes:
            (self._layout.recipes / recipe).unlink(missing_ok=True)
        return Garbage(plan.blobs, tuple(gone), plan.recipes)

    def _mark(self, id: Digest, blobs: set[Digest], names: set[str], diff_ids: set[Digest]) -> None:
        record = self._images.get(id)
        blobs.add(id)
        diff_ids.update(record.config.diff_ids)
        names.update(str(chain) for chain in chain_ids(record.config.diff_ids))
        if record.manifest is not None:
            self._mark_manifest(record.manifest.digest, blobs)

    def _mark_manifest(self, digest: Digest, blobs: set[Digest]) -> None:
        blobs.add(digest)
        try:
            manifest = Manifest.parse(self._content.read(digest))
        except CortenError:
            return
        blobs.add(manifest.config.digest)
        blobs.update(layer.digest for layer in manifest.layers)

    def _snapshots_beyond(self, names: set[str]) -> list[tuple[str, int]]:
        """Committed snapshots that no name and no active snapshot stands on, children first."""
        infos = {info.key: info for info in self._snapshots.walk()}
        kept: set[str] = set()
        roots = [key for key, info in infos.items() if key in names or info.kind is Kind.ACTIVE]
        for key in roots:
            at: str | None = key
            while at is not None and at not in kept and at in infos:
                kept.add(at)
                at = infos[at].parent
        return [(key, self._size(key)) for key in reversed(list(infos)) if key not in kept]

    def _size(self, key: str) -> int:
        try:
            return self._snapshots.usage(key).size
        except (CortenError, OSError):
            return 0

    def _blobs_beyond(self, kept: set[Digest], young: float) -> Iterable[tuple[Digest, int]]:
        for digest in self._content.digests():
            if digest in kept:
                continue
            try:
                status = self._content.path(digest).stat()
            except FileNotFoundError:
                continue
            if status.st_mtime < young:
                yield digest, status.st_size
