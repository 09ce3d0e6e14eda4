"""What removing an image takes: Docker's rules as a pure plan.

Owns: which names go, which images go with them, and the words of each refusal.  Touches nothing: it reads a ``Shelf``
and gives a list of operations.  For who performs them read service.py; for prune read engine/prune.py.

A *name* given loses that name; the image goes too when it was the last one and nothing holds it.  An *id* given
takes the image with all its names when they are all of one repository.  Dependent children and running containers
hold an image for good, stopped containers and further names unless forced.  An untagged parent that nothing else
needs goes along, quietly.

A name of an index is bound to one image and *holds* those of the other platforms: they go when the last such name goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from corten.errors import Conflict
from corten.spec.digest import Digest
from corten.spec.reference import Reference


@dataclass(frozen=True, slots=True)
class Use:
    """A container made from an image."""

    container_id: str
    is_running: bool


@dataclass(frozen=True, slots=True)
class Untag:
    """Take a name away from an image."""

    image: Digest
    reference: Reference


@dataclass(frozen=True, slots=True)
class Delete:
    """Drop an image."""

    image: Digest


@dataclass(frozen=True, slots=True)
class HandOver:
    """Bind the names of an image to those of other platforms in the same indexes."""

    image: Digest


Operation = Untag | Delete | HandOver


class Shelf(Protocol):
    """What the plan must know of the images there are."""

    def references(self, image: Digest) -> Sequence[Reference]: ...
    def holders(self, image: Digest) -> Sequence[Reference]: ...
    def companions(self, image: Digest) -> Sequence[Digest]: ...
    def children(self, image: Digest) -> Sequence[Digest]: ...
    def parent(self, image: Digest) -> Digest | None: ...
    def uses(self, image: Digest) -> Sequence[Use]: ...


def is_id_prefix(image: Digest, name: str) -> bool:
    """The name given is the image's id or its beginning, not a reference."""
    return str(image).startswith(name) or image.hex.startswith(name)


def plan(shelf: Shelf, image: Digest, name: str, *, force: bool, prune: bool) -> list[Operation]:
    """The operations that remove ``name``, which was found to mean ``image``.  Raises Conflict."""
    draft = _Draft(shelf)
    if is_id_prefix(image, name):
        _by_id(draft, image, force=force)
        _drop(draft, image, force=force, prune=prune, quietly=False)
    else:
        _by_name(draft, image, name, force=force)
        if not draft.is_named(image):
            _drop(draft, image, force=force, prune=prune, quietly=True)
    for other in shelf.companions(image):
        if not draft.is_named(other) and _conflict(draft, other, force=force) is None:
            _drop(draft, other, force=force, prune=prune, quietly=True)
    return draft.operations


def plan_one(shelf: Shelf, image: Digest, elsewhere: Sequence[Reference], *, force: bool) -> list[Operation]:
    """Takes the image of one platform out of its indexes.  Raises Conflict.

    ``elsewhere`` are its names that have no image of another platform to be bound to: digests go, tags must be forced.
    """
    draft = _Draft(shelf)
    hold = _conflict(draft, image, force=force, names_hold=False)
    if hold is None and any(name.tag for name in elsewhere) and not force:
        hold = _Hold("image is referenced in multiple repositories")
    _refuse(hold, image)
    for reference in elsewhere:
        draft.untag(image, reference)
    return [*draft.operations, HandOver(image), Delete(image)]


@dataclass(slots=True)
class _Draft:
    """The shelf as it will be after the operations so far."""

    shelf: Shelf
    operations: list[Operation] = field(default_factory=list)

    def references(self, image: Digest) -> list[Reference]:
        gone = {op.reference for op in self.operations if isinstance(op, Untag)}
        return [reference for reference in self.shelf.references(image) if reference not in gone]

    def is_named(self, image: Digest) -> bool:
        """By a name of its own, or by one whose index holds it."""
        gone = {op.reference for op in self.operations if isinstance(op, Untag)}
        return bool(self.references(image)) or any(name not in gone for name in self.shelf.holders(image))

    def children(self, image: Digest) -> list[Digest]:
        gone = {op.image for op in self.operations if isinstance(op, Delete)}
        return [child for child in self.shelf.children(image) if child not in gone]

    def untag(self, image: Digest, reference: Reference) -> None:
        self.operations.append(Untag(image, reference))


def _by_name(draft: _Draft, image: Digest, name: str, *, force: bool) -> None:
    references = draft.references(image)
    for each in (image, *draft.shelf.companions(image)):
        users = draft.shelf.uses(each)
        if not force and users and _of_one_name(references):
            raise Conflict(
                f'conflict: unable to remove repository reference "{name}" (must force) - container '
                f"{users[0].container_id[:12]} is using its referenced image {each.short}"
            )
    wanted = Reference.parse(name)
    taken = next((item for item in references if item == wanted or _same_digest(item, wanted)), wanted)
    draft.untag(image, taken)
    if taken.digest is not None:
        return
    left = [item for item in draft.references(image) if item.name == taken.name]
    if all(item.digest is not None for item in left):
        for item in left:
            draft.untag(image, item)


def _same_digest(one: Reference, other: Reference) -> bool:
    return one.digest is not None and one.digest == other.digest and one.name == other.name


def _by_id(draft: _Draft, image: Digest, *, force: bool) -> None:
    references = draft.references(image)
    if not _of_one_name(references):
        return
    _refuse(_conflict(draft, image, force=force, names_hold=False), image)
    for reference in references:
        draft.untag(image, reference)


def _of_one_name(references: Sequence[Reference]) -> bool:
    """At most one tag, and every digest of the same repository; no reference at all is not one."""
    if len(references) <= 1:
        return len(references) == 1
    tags = [item for item in references if item.digest is None]
    repositories = {item.name for item in references}
    return len(tags) <= 1 and len(repositories) == 1


@dataclass(frozen=True, slots=True)
class _Hold:
    """A reason to keep an image."""

    reason: str
    is_hard: bool = False
    is_use: bool = False


def _conflict(draft: _Draft, image: Digest, *, force: bool, names_hold: bool = True) -> _Hold | None:
    if draft.children(image):
        return _Hold("image has dependent child images", is_hard=True)
    users = draft.shelf.uses(image)
    running = next((user for user in users if user.is_running), None)
    if running is not None:
        text = f"image is being used by running container {running.container_id[:12]}"
        return _Hold(text, is_hard=True, is_use=True)
    if force:
        return None
    if names_hold and draft.is_named(image):
        return _Hold("image is referenced in multiple repositories")
    if users:
        return _Hold(f"image is being used by stopped container {users[0].container_id[:12]}", is_use=True)
    return None


def _refuse(hold: _Hold | None, image: Digest) -> None:
    if hold is not None:
        force = "cannot be forced" if hold.is_hard else "must be forced"
        raise Conflict(f"conflict: unable to delete {image.short} ({force}) - {hold.reason}")


def _drop(draft: _Draft, image: Digest, *, force: bool, prune: bool, quietly: bool) -> None:
    """Delete the image, then each ancestor that nothing needs any more."""
    current: Digest | None = image
    while current is not None:
        hold = _conflict(draft, current, force=force)
        if hold is not None:
            is_dangling = not draft.references(current) and not draft.children(current)
            if not quietly or (is_dangling and not hold.is_use):
                _refuse(hold, current)
            return
        for reference in draft.references(current):
            draft.untag(current, reference)
        draft.operations.append(Delete(current))
        current = draft.shelf.parent(current) if prune else None
        force, quietly = False, True
