"""An image's blobs, in parallel: the config first, then layers, each handed on as soon as it is whole.

Owns: how many at a time, and what is told of each.  The caller unpacks while others are still on their way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from corten.distribution.download import Download
from corten.distribution.model import Content, Have, OnLayer, Progress, Pulled, Resolved, Silent
from corten.distribution.together import Together
from corten.errors import Invalid
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest

_CONFIG_MAX = 16 << 20
MakeDownload = Callable[[Descriptor, Progress], Download]


class Pull:
    """One pull."""

    def __init__(
        self,
        make: MakeDownload,
        content: Content,
        progress: Progress,
        slots: asyncio.Semaphore,
        under_way: dict[Digest, asyncio.Lock],
    ) -> None:
        self._make = make
        self._content = content
        self._progress = progress
        self._slots = slots
        self._under_way = under_way

    async def run(self, resolved: Resolved, on_layer: OnLayer | None, have: Have | None) -> Pulled:
        """Bring everything that is missing."""
        config = await self._config(resolved.manifest.config)
        layers = resolved.manifest.layers
        had = set(have(resolved.manifest, config)) if have else set()
        for position, layer in enumerate(layers):
            known = position in had
            self._progress.update(layer.digest.short, "Already exists" if known else "Pulling fs layer")
        wanted = [position for position in range(len(layers)) if position not in had]
        for position in wanted[self._slots._value :]:
            self._progress.update(layers[position].digest.short, "Waiting")
        async with Together() as group:
            for position in wanted:
                group.create_task(self._layer(position, layers[position], on_layer))
        return Pulled(resolved, config)

    async def _config(self, descriptor: Descriptor) -> bytes:
        if descriptor.size > _CONFIG_MAX:
            raise Invalid(f"the image config has {descriptor.size} bytes: that is no image config")
        await self._bring(descriptor, Silent())
        return await asyncio.to_thread(self._content.read, descriptor.digest)

    async def _layer(self, position: int, layer: Descriptor, on_layer: OnLayer | None) -> None:
        async with self._slots:
            await self._bring(layer, self._progress)
        if on_layer is not None:
            await on_layer(position, layer)

    async def _bring(self, blob: Descriptor, progress: Progress) -> None:
        """Download, unless it is there or another pull is just bringing it."""
        lock = self._under_way.setdefault(blob.digest, asyncio.Lock())
        try:
            async with lock:
                if self._content.has(blob.digest):
                    progress.update(blob.digest.short, "Download complete")
                else:
                    await self._make(blob, progress).run()
        finally:
            if not lock.locked():
                self._under_way.pop(blob.digest, None)
