"""The images there are, with who uses them: what the removal rules, prune and the lists read.

Owns: putting the store's records and the containers' roster together.  Changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from corten.engine.images.removal import Use
from corten.errors import CortenError, NotFound
from corten.spec.digest import Digest
from corten.spec.image import chain_ids
from corten.spec.reference import Reference
from corten.store.images import ImageRecord, Images
from corten.store.snapshots.base import Snapshots


@dataclass(frozen=True, slots=True)
class Tenant:
    """A container as far as images are concerned."""

    container_id: str
    image_id: str
    is_running: bool


Tenants = Callable[[], Iterable[Tenant]]


class ImageShelf:
    """The Shelf of removal.py over the store."""

    def __init__(self, images: Images, snapshots: Snapshots, tenants: Tenants) -> None:
        self._images = images
        self._snapshots = snapshots
        self._tenants = tenants

    def references(self, image: Digest) -> Sequence[Reference]:
        """Every name: tags, then digests."""
        record = self._images.get(image)
        return (*record.references, *record.repo_digests)

    def holders(self, image: Digest) -> Sequence[Reference]:
        """Names of other images whose index holds this one."""
        return self._images.holders(image)

    def companions(self, image: Digest) -> Sequence[Digest]:
        """The other images that the indexes of its names hold."""
        indexes = self._images.indexes
        found = {other for target in self._images.get(image).targets for other in indexes.images(target)}
        return sorted(found - {image}, key=str)

    def children(self, image: Digest) -> Sequence[Digest]:
        """The images built from it."""
        return [record if isinstance(record, Digest) else record.id for record in self._images.children(image)]

    def parent(self, image: Digest) -> Digest | None:
        """The image it was built from, if that is still here."""
        return self._images.get(image).parent

    def parents(self, record: ImageRecord) -> list[ImageRecord]:
        """The images it was built through, nearest first, as far as they are here."""
        line: list[ImageRecord] = []
        seen = {record.id}
        while record.parent is not None and record.parent not in seen:
            try:
                record = self._images.get(record.parent)
            except NotFound:
                break
            seen.add(record.id)
            line.append(record)
        return line

    def uses(self, image: Digest) -> Sequence[Use]:
        """The containers made from it, running ones first."""
        wanted = str(image)
        found = [Use(item.container_id, item.is_running) for item in self._tenants() if item.image_id == wanted]
        return sorted(found, key=lambda use: not use.is_running)

    def container_counts(self) -> dict[Digest, int]:
        """How many containers each image has."""
        counts = Counter(item.image_id for item in self._tenants())
        return {Digest.parse(name): count for name, count in counts.items() if name}

    def size_of(self, chain: Digest) -> int:
        """The bytes that a layer adds; 0 for one that is not here."""
        try:
            return self._snapshots.usage(str(chain)).size
        except CortenError:
            return 0

    def chains(self) -> set[Digest]:
        """Every layer that some image needs."""
        return {chain for record in self._images.all() for chain in chain_ids(record.config.diff_ids)}
