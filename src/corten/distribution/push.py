"""An image's blobs to a registry, in parallel.  The manifest goes last, when all that it names is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from corten.distribution.model import Progress
from corten.distribution.together import Together
from corten.distribution.upload import Upload
from corten.spec.descriptor import Descriptor


async def push_image(
    make: Callable[[Descriptor], Upload], blobs: Sequence[Descriptor], progress: Progress, slots: asyncio.Semaphore
) -> None:
    """Bring every blob there; one that is named twice goes once."""
    unique = list({blob.digest: blob for blob in blobs}.values())
    for blob in unique:
        progress.update(blob.digest.short, "Preparing")

    async def one(blob: Descriptor) -> None:
        if slots.locked():
            progress.update(blob.digest.short, "Waiting")
        async with slots:
            await make(blob).run()

    async with Together() as group:
        for blob in unique:
            group.create_task(one(blob))
