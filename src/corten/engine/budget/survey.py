"""What takes the disk now: every image, dead or living container, cached layer, cache mount, log and rest, as items.

Owns: which parts each is made of, what pins it and what it needs.  The sizes are those of ``docker system df``: the
same calls.  A label ``corten.pin`` on an image or a container (any value but ``false`` and ``0``) keeps it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from corten.engine.budget.model import Item, Kind, Survey
from corten.engine.budget.uses import Uses
from corten.engine.builds.cache import REGULAR, BuildCache, Entry
from corten.engine.containers.bundle import log_path
from corten.engine.containers.changes import writable_size
from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Live
from corten.engine.events import Events
from corten.engine.images.ground import ImageGround
from corten.engine.images.view import labels_of
from corten.errors import CortenError
from corten.spec.digest import Digest
from corten.spec.image import Manifest, chain_ids
from corten.store.collect import Collector, Garbage
from corten.store.images import ImageRecord

PIN = "corten.pin"


def is_pinned(labels: Mapping[str, str]) -> bool:
    """Does the label say so?"""
    return labels.get(PIN, "false").lower() not in ("false", "0", "no")


class Surveyor:
    """Takes surveys."""

    def __init__(
        self, ground: Ground, images: ImageGround, cache: BuildCache, collector: Collector, uses: Uses
    ) -> None:
        self._ground = ground
        self._images = images
        self._cache = cache
        self._collector = collector
        self.uses = uses

    @property
    def root(self) -> Path:
        """Where all of it is."""
        return self._ground.layout.data_root

    @property
    def events(self) -> Events:
        """Where uses and removals are told."""
        return self._ground.events

    async def take(self) -> Survey:
        """All there is."""
        sizes = {live.record.id: await writable_size(self._ground, live) for live in self._ground.roster}
        mounts = await asyncio.to_thread(self._cache.entries)
        draft = _Draft(self._ground, self._images, self.uses)
        for record in self._images.images.all():
            draft.add_image(record)
        for live in self._ground.roster:
            draft.add_container(live, sizes.get(live.record.id, 0))
        for entry in mounts:
            draft.add_cache(entry)
        draft.add_rest(self._collector.plan(snapshots=self._cache.kept_layers()))
        free = shutil.disk_usage(self.root).free
        return Survey(tuple(draft.items), draft.parts, free, time.time())


class _Draft:
    def __init__(self, ground: Ground, images: ImageGround, uses: Uses) -> None:
        self.items: list[Item] = []
        self.parts: dict[str, int] = {}
        self._ground = ground
        self._images = images
        self._uses = uses
        self._parents = {info.key: info.parent for info in ground.snapshots.walk()}

    def add_image(self, record: ImageRecord) -> None:
        layers = [self._layer(str(chain)) for chain in chain_ids(record.config.diff_ids)]
        blobs = [self._blob(digest) for digest in self._blobs_of(record)]
        names = [reference.familiar() for reference in (*record.references, *record.repo_digests)]
        used = max(record.added, record.last_tagged or 0.0, self._uses.last(str(record.id)))
        self.items.append(
            Item(
                id=f"image:{record.id}",
                kind=Kind.IMAGE,
                name=names[0] if names else record.id.short,
                used=used,
                parts=frozenset([*layers, *blobs]),
                needs=frozenset([f"image:{record.parent}"] if record.parent else []),
                pin=f"pinned by its label {PIN}" if is_pinned(labels_of(record)) else "",
            )
        )

    def add_container(self, live: Live, size: int) -> None:
        record = live.record
        snapshot = self._part(f"snapshot:{record.id}", size)
        log = log_path(self._ground.bundle(record.id), record)
        own = self._part(f"log:{record.id}", _size(log))
        above = [self._layer(key) for key in self._line(self._parents.get(record.id))]
        pin = f"pinned by its label {PIN}" if is_pinned(record.labels) else ""
        id = f"container:{record.id}"
        self.items.append(
            Item(
                id=id,
                kind=Kind.CONTAINER,
                name=record.name,
                used=max(record.created, record.state.started_at or 0.0, record.state.finished_at or 0.0),
                parts=frozenset([snapshot, own, *above]),
                needs=frozenset([f"image:{record.image_id}"]),
                pin=pin or ("it runs" if record.is_active else ""),
            )
        )
        for path in _rotated(log):
            part = self._part(f"log:{path}", _size(path))
            self.items.append(Item(f"log:{path}", Kind.LOG, path.name, _time(path), frozenset([part]), frozenset([id])))

    def add_cache(self, entry: Entry) -> None:
        if entry.is_shared:
            return  # costs nothing and goes with its image
        if entry.type != REGULAR:
            part = self._part(f"mount:{entry.id}", entry.size)
            pin = "a running build uses it" if entry.in_use else ""
            self.items.append(
                Item(f"mount:{entry.id}", Kind.MOUNT, entry.description, entry.used, frozenset([part]), pin=pin)
            )
            return
        layers = [self._layer(key) for key in self._line(entry.chain)]
        self.items.append(Item(f"cache:{entry.id}", Kind.CACHE, entry.description, entry.used, frozenset(layers)))

    def add_rest(self, garbage: Garbage) -> None:
        parts = [self._part(f"blob:{digest}", size) for digest, size in garbage.blobs]
        parts += [self._part(f"layer:{key}", size) for key, size in garbage.snapshots]
        if parts:
            name = f"{len(garbage.blobs)} blobs, {len(garbage.snapshots)} layers"
            self.items.append(Item("rest:", Kind.UNREFERENCED, name, 0.0, frozenset(parts)))

    def _part(self, name: str, size: int) -> str:
        self.parts[name] = size
        return name

    def _layer(self, chain: str) -> str:
        name = f"layer:{chain}"
        if name not in self.parts:
            try:
                self.parts[name] = self._images.snapshots.usage(chain).size
            except (CortenError, OSError):
                self.parts[name] = 0
        return name

    def _blob(self, digest: Digest) -> str:
        return self._part(f"blob:{digest}", _size(self._images.content.path(digest)))

    def _line(self, key: str | None) -> Iterator[str]:
        """A snapshot and all below it."""
        while key is not None:
            yield key
            key = self._parents.get(key)

    def _blobs_of(self, record: ImageRecord) -> set[Digest]:
        found = {record.id, *(each.digest for each in record.repo_digests if each.digest is not None)}
        found |= {blob.digest for id in record.config.diff_ids if (blob := self._images.images.layer_blob(id))}
        if record.manifest is not None:
            found.add(record.manifest.digest)
            try:
                manifest = Manifest.parse(self._images.content.read(record.manifest.digest))
            except CortenError:
                return found
            found |= {manifest.config.digest, *(layer.digest for layer in manifest.layers)}
        return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _rotated(log: Path) -> list[Path]:
    """``log.1``, ``log.2.gz`` …: complete, and only ever read."""
    try:
        names = os.listdir(log.parent)
    except OSError:
        return []
    return [log.parent / name for name in sorted(names) if _number(name.removeprefix(f"{log.name}."))]


def _number(suffix: str) -> bool:
    return suffix.removesuffix(".gz").isdigit()
