"""What the builder asks of images and snapshots (build/ports.py), answered by the store and by pulls.

Owns: nothing but the translation.  For RUN read executor.py, for the cache cache.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from corten.build.ports import BaseImage, DiffResult, Progress
from corten.distribution.model import Credentials
from corten.engine.images import credentials as auth
from corten.engine.images.ground import ImageGround
from corten.engine.images.names import find
from corten.engine.images.pull import Puller
from corten.errors import CortenError, NotFound
from corten.spec.digest import Digest
from corten.spec.platform import Platform
from corten.spec.reference import Reference
from corten.store.images import ImageRecord
from corten.store.snapshots.base import Snapshots, Usage
from corten.store.workers import Workers

Keys = Callable[[str], Awaitable[Credentials]]
"""Who we are to a registry."""


def keys_of(credentials: Mapping[str, Mapping[str, Any]]) -> Keys:
    """Those of X-Registry-Config."""

    async def find(registry: str) -> Credentials:
        return auth.select(credentials, registry)

    return find


class BaseImages:
    """ImageSource: what FROM and COPY --from name; pulled with the credentials that came with the build."""

    def __init__(self, ground: ImageGround, puller: Puller, keys: Keys) -> None:
        self._ground = ground
        self._puller = puller
        self._keys = keys

    async def resolve(self, name: str, platform: str | None, *, pull: bool, progress: Progress) -> BaseImage:
        """The image, here already or pulled now."""
        wanted = Platform.parse(platform) if platform else None
        record = None if pull else self._local(name, wanted)
        if record is None:
            record = await self._pulled(name, wanted, progress)
        chain = record.config.chain_id
        return BaseImage(
            id=str(record.id),
            config=record.config.body,
            chain=str(chain) if chain is not None else None,
            diff_ids=tuple(str(item) for item in record.config.diff_ids),
        )

    def _local(self, name: str, platform: Platform | None) -> ImageRecord | None:
        try:
            return find(self._ground.images, name, platform)
        except NotFound:
            return None

    async def _pulled(self, name: str, platform: Platform | None, progress: Progress) -> ImageRecord:
        reference = Reference.parse(name)
        who = await self._keys(reference.registry)
        await self._puller.pull(reference, platform, who, _Told(progress))
        return find(self._ground.images, str(reference), platform)


class _Told:
    """A pull's progress inside a build's."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def update(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        self._progress.status(id, status, current, total)

    def message(self, status: str, id: str | None = None) -> None:
        self._progress.status(id or "", status)


class StepLayers:
    """Layers: the layer that a step's snapshot makes."""

    def __init__(self, snapshots: Snapshots, workers: Workers) -> None:
        self._snapshots = snapshots
        self._workers = workers

    async def diff(self, key: str) -> DiffResult:
        """Print the changes, only to know their digest."""
        packed = await self._workers.pack(self._snapshots.upper(key))
        self._snapshots.note_usage(key, Usage(packed.size, packed.inodes))
        return DiffResult(str(packed.diff_id), packed.size, packed.empty)


class BuiltImages:
    """ImageSink: every step is an image, as in the classic builder."""

    def __init__(self, ground: ImageGround) -> None:
        self._ground = ground
        self._chains: set[str] = set()  # seen to be here: nothing is collected while a build runs

    def save(self, config: bytes, parent: str | None) -> str:
        """Record an image whose layers are snapshots."""
        return str(self._ground.images.add(config, parent=Digest.parse(parent) if parent else None))

    def exists(self, image_id: str) -> bool:
        """The image and its layers are here."""
        id = Digest.parse(image_id)
        if not self._ground.images.holds(id):
            return False
        try:
            chain = str(self._ground.images.config(id).chain_id or "")
        except CortenError:
            return False
        if chain and chain not in self._chains:
            if not self._ground.snapshots.exists(chain):
                return False
            self._chains.add(chain)
        return True
