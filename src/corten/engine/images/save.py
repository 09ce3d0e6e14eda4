"""Saving: images become an archive that Docker and OCI tools read.

Owns: which images and names the given names mean.  For the archive read store/archives/.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from corten.engine.images.ground import ImageGround
from corten.engine.images.removal import is_id_prefix
from corten.errors import Invalid
from corten.spec.digest import Digest
from corten.spec.platform import Platform
from corten.spec.reference import Reference
from corten.store.archives import save as archives
from corten.store.images import ImageRecord

Find = Callable[[str, Platform | None], ImageRecord]


class Saver:
    """Puts images into archives."""

    def __init__(self, ground: ImageGround) -> None:
        self._ground = ground
        self._archives = archives.Saver(ground.layout, ground.content, ground.images, ground.snapshots, ground.workers)

    @asynccontextmanager
    async def save(
        self, names: Sequence[str], find: Find, *, platform: Platform | None
    ) -> AsyncIterator[archives.Outflow]:
        """The named images in one archive; raises NotFound before there is any."""
        if not names:
            raise Invalid("no images specified")
        chosen: dict[tuple[Digest, Digest | None], tuple[ImageRecord, list[Reference]]] = {}
        for name in names:
            for record, reference in self._meant(name, find, platform):
                # docker: all platforms that are here, unless one is asked for.
                is_whole = platform is None and reference is not None
                index = self._ground.images.target_of(str(reference)) if is_whole else None
                _, references = chosen.setdefault((record.id, index), (record, []))
                if reference is not None and reference not in references:
                    references.append(reference)
        saved = [archives.Saved(record, references, index) for (_, index), (record, references) in chosen.items()]
        async with self._archives.opened(saved) as outflow:
            yield outflow
        for item in saved:
            self._ground.publish("save", item.record.id)

    def _meant(self, name: str, find: Find, platform: Platform | None) -> list[tuple[ImageRecord, Reference | None]]:
        """docker: a bare repository means all its tags, an id no name at all."""
        bare = self._all_tags(name)
        if bare:
            return [(find(str(reference), platform), reference) for reference in bare]
        record = find(name, platform)
        if is_id_prefix(record.id, name):
            return [(record, None)]
        reference = Reference.parse(name)
        return [(record, reference if reference.tag else None)]

    def _all_tags(self, name: str) -> list[Reference]:
        try:
            wanted = Reference.parse(name, default_tag=None)
        except Invalid:
            return []
        if wanted.tag is not None or wanted.digest is not None:
            return []
        records = self._ground.images.all()
        return sorted(item for record in records for item in record.references if item.name == wanted.name)
