"""Pulling: a name at a registry becomes an image here.

Owns: the order (manifest, config, layers unpacked as they come, record, name) and Docker's words about it.  Nothing is
an image before all its layers are snapshots; what an interrupted pull downloaded is used by the next one.
For transfers read distribution/, for unpacking store/unpack.py.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from corten.distribution.model import Credentials, Pulled
from corten.engine.images.flights import Flights
from corten.engine.images.ground import ImageGround, Progress
from corten.errors import Invalid, NotFound
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.image import ImageConfig, Manifest, chain_ids
from corten.spec.platform import Platform
from corten.spec.reference import Reference
from corten.store.unpack import Unpacking


class Puller:
    """Pulls; those who want the same at the same time share one."""

    def __init__(self, ground: ImageGround) -> None:
        self._ground = ground
        self._flights = Flights()

    async def pull(
        self, reference: Reference, platform: Platform | None, credentials: Credentials, progress: Progress
    ) -> None:
        """Bring an image, or every tag of a repository where the reference has neither tag nor digest."""
        wanted = [reference]
        if reference.tag is None and reference.digest is None:
            tags = await self._ground.distribution.tags(reference, credentials)
            wanted = [replace(reference, tag=tag) for tag in tags]
        for each in wanted:
            await self._shared(each, platform, credentials, progress)

    async def _shared(
        self, reference: Reference, platform: Platform | None, credentials: Credentials, progress: Progress
    ) -> None:
        async def work(told: Progress) -> None:
            await _Pull(self._ground, reference, platform, credentials, told).run()

        await self._flights.run((reference, platform, credentials), work, progress)


@dataclass(slots=True)
class _Pull:
    """One image on its way."""

    ground: ImageGround
    reference: Reference
    platform: Platform | None
    credentials: Credentials
    progress: Progress
    unpacking: Unpacking | None = None
    diff_ids: tuple[Digest, ...] = ()
    held: tuple[Digest, ...] = ()

    async def run(self) -> None:
        before = self._known()
        try:
            pulled = await self.ground.distribution.pull(
                self.reference,
                self.ground.content,
                platform=self.platform,
                credentials=self.credentials,
                progress=self.progress,
                on_layer=self._layer,
                have=self._have,
            )
            if self.unpacking is not None:
                await self.unpacking.finish()
            image = self._record(pulled)
        finally:
            if self.unpacking is not None:
                await self.unpacking.__aexit__(None, None, None)
            self.ground.holds.give(self.held)
        self._tell(pulled, image, before)

    def _known(self) -> Digest | None:
        images, name = self.ground.images, str(self.reference)
        try:
            record = images.find_for(name, self.platform) if self.platform is not None else images.find(name)
        except NotFound:
            return None
        return record.id if record is not None else None

    def _have(self, manifest: Manifest, config: bytes) -> Collection[int]:
        """The layers that are snapshots already.  Called once the image was found: the first thing to tell."""
        label = self.reference.tag or str(self.reference.digest)
        self.progress.message(f"Pulling from {self.reference.familiar_name}", label)
        self.diff_ids = ImageConfig.parse(config).diff_ids
        if len(self.diff_ids) != len(manifest.layers):
            raise Invalid(f"invalid image: {len(manifest.layers)} layers and {len(self.diff_ids)} diff IDs")
        self.held = tuple(chain_ids(self.diff_ids))
        self.ground.holds.take(self.held)
        self.unpacking = self.ground.unpacker.session(self.diff_ids)
        known = [index for index in range(len(self.diff_ids)) if self.unpacking.known(index)]
        if len(known) < len(self.diff_ids):
            self.ground.workers.warm()
        return known

    async def _layer(self, index: int, blob: Descriptor) -> None:
        assert self.unpacking is not None
        layer, size = blob.digest.short, blob.size

        def extracting(amount: int) -> None:
            self.progress.update(layer, "Extracting", min(amount, size), size)

        extracting(0)
        await self.unpacking.add(index, self.ground.content.path(blob.digest), extracting)
        self.ground.images.record_layer_blob(self.diff_ids[index], blob)
        self.progress.update(layer, "Pull complete")

    def _record(self, pulled: Pulled) -> Digest:
        resolved = pulled.resolved
        self.ground.content.write(resolved.data)
        if resolved.index_data is not None:
            self.ground.content.write(resolved.index_data)
        image = self.ground.images.add(pulled.config, manifest=resolved.descriptor)
        self.ground.images.tag(self.reference, image, pulled.descriptor.digest)
        return image

    def _tell(self, pulled: Pulled, image: Digest, before: Digest | None) -> None:
        name = self.reference.familiar()
        self.progress.message(f"Digest: {pulled.descriptor.digest}")
        news = "Image is up to date for" if before == image else "Downloaded newer image for"
        self.progress.message(f"Status: {news} {name}")
        self.ground.publish("pull", image, actor=name, name=self.reference.familiar_name)
