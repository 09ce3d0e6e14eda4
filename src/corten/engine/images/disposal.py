"""Removing images: performs the plans of removal.py, and finds what prune takes.

Owns: the order.  Records go first and at once (one transaction), then the layers that no image, container or work under
way needs; content goes with the next collection.  A daemon that is killed in between leaves layers without an image,
which a collection removes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from corten.api import times
from corten.api.filters import Filters
from corten.engine.images import removal, view
from corten.engine.images.ground import ImageGround
from corten.engine.images.removal import Delete, HandOver, Operation, Untag
from corten.engine.images.shelf import ImageShelf
from corten.errors import Conflict, CortenError, NotFound
from corten.spec.digest import Digest
from corten.spec.image import chain_ids
from corten.store.images import ImageRecord

PRUNE_FILTERS = frozenset({"dangling", "label", "label!", "until"})


class Disposal:
    """Takes images away."""

    def __init__(self, ground: ImageGround, shelf: ImageShelf, collect_soon: Callable[[], None]) -> None:
        self._ground = ground
        self._shelf = shelf
        self._collect_soon = collect_soon

    def perform(self, plan: Sequence[Operation]) -> list[dict[str, str]]:
        """Do what a plan says; what went, in Docker's order."""
        gone: list[dict[str, str]] = []
        stacks: list[list[Digest]] = []
        images = self._ground.images
        with images.transaction():
            for operation in plan:
                if isinstance(operation, Untag):
                    images.untag(operation.reference)
                elif isinstance(operation, HandOver):
                    images.hand_over(operation.image)
                else:
                    stacks.append(chain_ids(images.get(operation.image).config.diff_ids))
                    images.delete(operation.image)
        needed = self._shelf.chains() if stacks else set()
        for operation in plan:
            if isinstance(operation, Untag):
                gone.append({"Untagged": operation.reference.familiar()})
                self._ground.publish("untag", operation.image)
                continue
            if not isinstance(operation, Delete):
                continue
            gone.append({"Deleted": str(operation.image)})
            self._ground.publish("delete", operation.image)
            gone.extend({"Deleted": str(chain)} for chain in self._drop_layers(stacks.pop(0), needed))
        if any("Deleted" in item for item in gone):
            self._collect_soon()
        return gone

    def _drop_layers(self, stack: Sequence[Digest], needed: set[Digest]) -> list[Digest]:
        """Remove what of a stack nobody needs, from the top; stops at the first that somebody does."""
        dropped = []
        for chain in reversed(stack):
            if chain in needed or chain in self._ground.holds:
                break
            try:
                self._ground.snapshots.remove(str(chain))
            except NotFound:
                continue  # of an image that shared all of it, just before
            except Conflict:
                break  # a container, a build step
            dropped.append(chain)
        return dropped

    def prune(self, filters: Filters) -> tuple[list[dict[str, str]], int]:
        """Remove unused images: those without a name, or with ``dangling=false`` all; what went, and the bytes."""
        filters.only(PRUNE_FILTERS)
        is_dangling_only = filters.flag("dangling", True)
        until = times.until(filters.get("until"))
        sizes = {str(chain): self._shelf.size_of(chain) for chain in self._shelf.chains()}
        gone: list[dict[str, str]] = []
        for record in self._ground.images.all():
            if self._is_candidate(record, filters, until):
                gone.extend(self._prune_one(record, is_dangling_only=is_dangling_only))
        reclaimed = sum(sizes.get(item.get("Deleted", ""), 0) for item in gone)
        self._ground.events.publish("image", "prune", "", {"reclaimed": str(reclaimed)})
        return gone, reclaimed

    def _is_candidate(self, record: ImageRecord, filters: Filters, until: float | None) -> bool:
        family = (record.id, *(self._shelf.companions(record.id) if record.targets else ()))
        if any(self._shelf.uses(image) for image in family):
            # docker takes all names but one from an image that a container uses; that helps nobody.
            return False
        has_names = bool(record.references or record.repo_digests)
        if not has_names and (self._shelf.children(record.id) or self._shelf.holders(record.id)):
            return False
        if until is not None and times.seconds_of(record.config.created) > until:
            return False
        return filters.labels(view.labels_of(record))

    def _prune_one(self, record: ImageRecord, *, is_dangling_only: bool) -> list[dict[str, str]]:
        """Remove one image as its names would be removed by hand; nothing if somebody uses it."""
        with contextlib.suppress(NotFound):
            record = self._ground.images.get(record.id)
            if is_dangling_only and record.references:
                return []
            names = [reference.familiar() for reference in (*record.references, *record.repo_digests)]
            gone: list[dict[str, str]] = []
            for name in names or [record.id.hex]:
                with contextlib.suppress(CortenError):
                    plan = removal.plan(self._shelf, record.id, name, force=False, prune=True)
                    gone.extend(self.perform(plan))
            return gone
        return []

    def drop(self, image: Digest) -> None:
        """Remove one image with all its names, and no other; raises Conflict if somebody needs it."""
        if uses := self._shelf.uses(image):
            raise Conflict(f"container {uses[0].container_id[:12]} is using image {image.short}")
        record = self._ground.images.get(image)
        if self._shelf.holders(image) or self._shelf.companions(image):
            alone = self._ground.images.names_alone(image)
            self.perform(removal.plan_one(self._shelf, image, alone, force=True))
            return
        names = [reference.familiar() for reference in (*record.references, *record.repo_digests)]
        for name in names or [image.hex]:
            if image not in self._ground.images.ids():
                return  # a digest went with its tag, and with it the image
            self.perform(removal.plan(self._shelf, image, name, force=False, prune=False))
