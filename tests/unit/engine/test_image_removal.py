"""Docker's rules of untagging and deleting, on a shelf made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from corten.engine.images.removal import Delete, HandOver, Operation, Untag, Use, plan, plan_one
from corten.errors import Conflict
from corten.spec.digest import Digest
from corten.spec.reference import Reference

CHILD, BASE, OTHER = (Digest.of(name.encode()) for name in ("child", "base", "other"))
MANIFEST = Digest.of(b"manifest")


@dataclass
class FakeShelf:
    names: dict[Digest, list[str]] = field(default_factory=dict)
    parents: dict[Digest, Digest] = field(default_factory=dict)
    used: dict[Digest, list[Use]] = field(default_factory=dict)
    # By the image that names are bound to: those of other platforms in the same index.
    held: dict[Digest, list[Digest]] = field(default_factory=dict)

    def references(self, image: Digest) -> Sequence[Reference]:
        return [Reference.parse(name) for name in self.names.get(image, [])]

    def holders(self, image: Digest) -> Sequence[Reference]:
        return [name for holder, others in self.held.items() if image in others for name in self.references(holder)]

    def companions(self, image: Digest) -> Sequence[Digest]:
        return self.held.get(image, [])

    def children(self, image: Digest) -> Sequence[Digest]:
        return [child for child, parent in self.parents.items() if parent == image]

    def parent(self, image: Digest) -> Digest | None:
        return self.parents.get(image)

    def uses(self, image: Digest) -> Sequence[Use]:
        return self.used.get(image, [])


def words(operations: list[Operation]) -> list[str]:
    names = {CHILD: "child", BASE: "base", OTHER: "other"}
    return [
        f"untag {op.reference.familiar()}" if isinstance(op, Untag) else f"delete {names[op.image]}"
        for op in operations
        if isinstance(op, Untag | Delete)
    ]


def remove(shelf: FakeShelf, name: str, image: Digest = CHILD, *, force: bool = False, prune: bool = True) -> list[str]:
    return words(plan(shelf, image, name, force=force, prune=prune))


def test_the_last_name_takes_the_image() -> None:
    assert remove(FakeShelf({CHILD: ["a:1"]}), "a:1") == ["untag a:1", "delete child"]


def test_one_of_two_names_leaves_the_image() -> None:
    assert remove(FakeShelf({CHILD: ["a:1", "b:1"]}), "a:1") == ["untag a:1"]


def test_a_name_without_tag_is_latest() -> None:
    assert remove(FakeShelf({CHILD: ["a:latest"]}), "a") == ["untag a:latest", "delete child"]


def test_the_last_tag_takes_the_digests_of_its_repository() -> None:
    shelf = FakeShelf({CHILD: ["a:1", f"a@{MANIFEST}"]})
    assert remove(shelf, "a:1") == ["untag a:1", f"untag a@{MANIFEST}", "delete child"]
    shelf = FakeShelf({CHILD: ["a:1", "a:2", f"a@{MANIFEST}"]})
    assert remove(shelf, "a:1") == ["untag a:1"]


def test_an_id_takes_all_names_of_one_repository_only() -> None:
    shelf = FakeShelf({CHILD: ["a:1", f"a@{MANIFEST}"]})
    assert remove(shelf, CHILD.short) == ["untag a:1", f"untag a@{MANIFEST}", "delete child"]
    with pytest.raises(
        Conflict,
        match=rf"unable to delete {CHILD.short} \(must be forced\) - image is referenced in multiple repositories",
    ):
        remove(FakeShelf({CHILD: ["a:1", "b:1"]}), str(CHILD))
    assert remove(FakeShelf({CHILD: ["a:1", "b:1"]}), str(CHILD), force=True) == [
        "untag a:1",
        "untag b:1",
        "delete child",
    ]


def test_a_stopped_container_holds_the_last_name_unless_forced() -> None:
    shelf = FakeShelf({CHILD: ["a:1"]}, used={CHILD: [Use("c" * 64, False)]})
    with pytest.raises(Conflict) as refused:
        remove(shelf, "a:1")
    assert str(refused.value) == (
        f'conflict: unable to remove repository reference "a:1" (must force) - container {"c" * 12} '
        f"is using its referenced image {CHILD.short}"
    )
    assert remove(shelf, "a:1", force=True) == ["untag a:1", "delete child"]
    with pytest.raises(Conflict, match=r"must be forced.*stopped container"):
        remove(shelf, CHILD.short)


def test_a_running_container_holds_for_good() -> None:
    shelf = FakeShelf({CHILD: ["a:1"]}, used={CHILD: [Use("c" * 64, True)]})
    assert remove(shelf, "a:1", force=True) == ["untag a:1"]
    with pytest.raises(Conflict, match=r"cannot be forced.*running container"):
        remove(shelf, CHILD.short, force=True)


def test_children_hold_for_good() -> None:
    shelf = FakeShelf({BASE: ["base:1"], CHILD: ["a:1"]}, parents={CHILD: BASE})
    assert remove(shelf, "base:1", BASE) == ["untag base:1"]
    with pytest.raises(Conflict, match="image has dependent child images"):
        remove(shelf, BASE.short, BASE, force=True)


def test_untagged_parents_go_along_unless_asked_not_to() -> None:
    shelf = FakeShelf({CHILD: ["a:1"]}, parents={CHILD: BASE})
    assert remove(shelf, "a:1") == ["untag a:1", "delete child", "delete base"]
    assert remove(shelf, "a:1", prune=False) == ["untag a:1", "delete child"]


def test_parents_that_something_needs_stay() -> None:
    shelf = FakeShelf({CHILD: ["a:1"], OTHER: ["o:1"]}, parents={CHILD: BASE, OTHER: BASE})
    assert remove(shelf, "a:1") == ["untag a:1", "delete child"]
    shelf = FakeShelf({CHILD: ["a:1"], BASE: ["base:1"]}, parents={CHILD: BASE})
    assert remove(shelf, "a:1") == ["untag a:1", "delete child"]
    shelf = FakeShelf({CHILD: ["a:1"]}, parents={CHILD: BASE}, used={BASE: [Use("c" * 64, False)]})
    assert remove(shelf, "a:1") == ["untag a:1", "delete child"]


def test_a_digest_can_be_removed_alone() -> None:
    shelf = FakeShelf({CHILD: ["a:1", f"a@{MANIFEST}"]})
    assert remove(shelf, f"a@{MANIFEST}") == [f"untag a@{MANIFEST}"]


def test_the_images_of_other_platforms_go_with_the_last_name_of_their_index() -> None:
    shelf = FakeShelf({CHILD: ["a:1", "a:2"]}, held={CHILD: [OTHER]})
    assert remove(shelf, "a:1") == ["untag a:1"]
    shelf = FakeShelf({CHILD: ["a:1", f"a@{MANIFEST}"]}, held={CHILD: [OTHER]})
    assert remove(shelf, "a:1") == ["untag a:1", f"untag a@{MANIFEST}", "delete child", "delete other"]
    shelf = FakeShelf({CHILD: ["a:1"], OTHER: ["b:1"]}, held={CHILD: [OTHER]})
    assert remove(shelf, "a:1") == ["untag a:1", "delete child"]


def test_an_index_holds_the_image_of_another_platform() -> None:
    shelf = FakeShelf({CHILD: ["a:1"]}, held={CHILD: [OTHER]})
    with pytest.raises(Conflict, match="referenced in multiple repositories"):
        remove(shelf, OTHER.hex, OTHER)
    assert remove(shelf, OTHER.hex, OTHER, force=True) == ["delete other"]
    shelf.used = {OTHER: [Use("c" * 64, False)]}
    with pytest.raises(Conflict, match="container cccccccccccc is using its referenced image"):
        remove(shelf, "a:1")


def test_one_platform_can_be_taken_out() -> None:
    shelf = FakeShelf({CHILD: ["a:1"]}, held={CHILD: [OTHER]})
    assert plan_one(shelf, CHILD, [], force=False) == [HandOver(CHILD), Delete(CHILD)]
    alone = [Reference.parse("b:1")]
    with pytest.raises(Conflict, match="referenced in multiple repositories"):
        plan_one(shelf, CHILD, alone, force=False)
    assert plan_one(shelf, CHILD, alone, force=True) == [Untag(CHILD, alone[0]), HandOver(CHILD), Delete(CHILD)]
    shelf.used = {CHILD: [Use("c" * 64, True)]}
    with pytest.raises(Conflict, match="running container"):
        plan_one(shelf, CHILD, [], force=True)
