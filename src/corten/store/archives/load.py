"""An image in an archive -> snapshots and a record.

Owns: the order.  Names are the caller's to give (engine/images), once the image is here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from corten.spec.digest import Digest
from corten.store.archives.read import ArchivedImage
from corten.store.images import Images
from corten.store.unpack import Unpacker

# (diff ID, bytes read, bytes in all)
Progress = Callable[[Digest, int, int], None]


async def load_image(
    archived: ArchivedImage, unpacker: Unpacker, images: Images, progress: Progress | None = None
) -> Digest:
    """Unpack what is missing, several layers at once, and record the image; its id.  Invalid if the archive lies."""
    diff_ids = archived.diff_ids
    async with unpacker.session(diff_ids) as session:

        async def one(index: int) -> None:
            layer, diff_id = archived.layers[index], diff_ids[index]
            size = layer.size or 0
            await session.add(index, layer, (lambda done: progress(diff_id, done, size)) if progress else None)
            if progress is not None:
                progress(diff_id, size, size)

        missing = [index for index in range(len(diff_ids)) if not session.known(index)]
        tasks = [asyncio.ensure_future(one(index)) for index in missing]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await session.finish()
    return images.add(archived.config)
