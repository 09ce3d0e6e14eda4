"""Database, facts, content, images, leases: no root needed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from corten.errors import Conflict, Internal, Invalid, NotFound
from corten.spec import media_types
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.image import Index, chain_ids
from corten.spec.reference import Reference
from corten.store.collect import Collector
from corten.store.content import Content, Ingest
from corten.store.db import Database
from corten.store.facts import Facts
from corten.store.images import Images
from corten.store.layout import Layout
from corten.store.leases import Leases
from corten.store.repair import repair
from corten.store.snapshots.base import Kind, Usage
from corten.store.snapshots.overlay import OverlaySnapshots


@dataclass
class Store:
    layout: Layout
    database: Database
    content: Content
    snapshots: OverlaySnapshots
    images: Images
    leases: Leases

    @classmethod
    def at(cls, path: Path) -> Store:
        layout = Layout(path)
        layout.make()
        database = Database.open(layout.database)
        content = Content(layout.content)
        snapshots = OverlaySnapshots(database, layout)
        return cls(layout, database, content, snapshots, Images(database, content, snapshots), Leases(database))

    def collector(self) -> Collector:
        return Collector(self.layout, self.content, self.snapshots, self.images, self.leases)

    def image(self, *layers: str, **more: object) -> Digest:
        """An image of made-up layers, each a directory with one file."""
        parent = None
        diff_ids = [Digest.of(layer.encode()) for layer in layers]
        for layer, chain in zip(layers, chain_ids(diff_ids), strict=True):
            if not self.snapshots.exists(str(chain)):
                self.snapshots.prepare("k", parent)
                (self.snapshots.upper("k") / "file").write_text(layer)
                self.snapshots.commit("k", str(chain))
            parent = str(chain)
        body = {"os": "linux", "rootfs": {"type": "layers", "diff_ids": list(map(str, diff_ids))}, **more}
        return self.images.add(json.dumps(body).encode())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(tmp_path / "root")


def test_transactions_nest_and_roll_back(store: Store) -> None:
    facts = Facts(store.database)
    with pytest.raises(RuntimeError), facts.transaction():
        facts.put("a", "1", {"x": 1})
        with facts.transaction():
            facts.put("a", "2", {})
        raise RuntimeError
    assert facts.items("a") == {}
    facts.put("a", "1", {"x": [1, "é"]})
    facts.put("b", "1", {})
    assert facts.get("a", "1") == {"x": [1, "é"]}
    assert facts.items("a") == {"1": {"x": [1, "é"]}}
    facts.delete("a", "1")
    facts.delete("a", "1")
    assert facts.get("a", "1") is None


def test_the_database_survives_and_refuses_the_future(store: Store) -> None:
    Facts(store.database).put("a", "1", {})
    again = Database.open(store.layout.database)
    assert Facts(again).get("a", "1") == {}
    again.execute("PRAGMA user_version = 999")
    with pytest.raises(Internal, match="newer"):
        Database.open(store.layout.database)


def test_blobs_are_whole_and_verified(store: Store) -> None:
    digest = store.content.write(b"hello")
    assert digest == Digest.of(b"hello")
    assert (store.content.read(digest), store.content.size(digest)) == (b"hello", 5)
    assert list(store.content.digests()) == [digest]
    store.content.path(digest).write_bytes(b"jello")
    with pytest.raises(Internal, match="corrupt"):
        store.content.read(digest)
    assert not store.content.verify(digest)
    store.content.delete(digest)
    store.content.delete(digest)
    with pytest.raises(NotFound):
        store.content.read(digest)
    assert json.loads((store.layout.content / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}


def test_an_ingest_is_resumed(store: Store) -> None:
    with store.content.ingest("k") as first:
        first.write(b"hel")
    assert not list(store.content.digests())
    with Content(store.layout.content).ingest("k") as second:
        assert second.offset == 3
        second.write(b"lo")
        assert second.commit(Digest.of(b"hello"), 5) == Digest.of(b"hello")
    assert store.content.has(Digest.of(b"hello"))
    with store.content.ingest("k") as third:
        assert third.offset == 0
        third.abort()
    assert not list((store.layout.content / "ingest").iterdir())


@pytest.mark.parametrize(("size", "digest"), [(4, None), (None, Digest.of(b"x")), (5, Digest.of(b"x", "sha512"))])
def test_a_wrong_ingest_is_gone(store: Store, size: int | None, digest: Digest | None) -> None:
    ingest = store.content.ingest("k")
    ingest.write(b"hello")
    with pytest.raises(Invalid, match="unexpected"):
        ingest.commit(digest, size)
    assert not list(store.content.digests())
    assert not list((store.layout.content / "ingest").iterdir())


def test_two_writers_of_one_key(store: Store) -> None:
    one, two = store.content.ingest("k"), store.content.ingest("k")
    assert one.path != two.path
    for ingest in (one, two):
        ingest.write(b"same")
    assert one.commit() == two.commit() == Digest.of(b"same")
    assert len(list(store.content.digests())) == 1


def test_a_blob_is_never_taken_for_an_ingest(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer before us commits between our open and our lock: we must not append to its blob."""
    first = store.content.ingest("k")
    first.write(b"done")
    real = os.open
    raced: list[Ingest] = []

    def racing(path: object, *args: int, **kwargs: int) -> int:
        fd = real(path, *args, **kwargs)  # type: ignore[arg-type]
        if not raced:
            raced.append(first)
            first.commit()
        return fd

    monkeypatch.setattr(os, "open", racing)
    second = store.content.ingest("k")
    monkeypatch.undo()
    second.write(b"other")
    second.close()
    assert store.content.read(Digest.of(b"done")) == b"done"


def test_snapshots_live(store: Store) -> None:
    snapshots = store.snapshots
    snapshots.prepare("a", None)
    with pytest.raises(Conflict):
        snapshots.prepare("a", None)
    with pytest.raises(NotFound):
        snapshots.prepare("b", "a")  # active, so no parent
    (snapshots.upper("a") / "f").write_text("12345")
    snapshots.commit("a", "one")
    assert snapshots.stat("one").kind is Kind.COMMITTED
    assert not snapshots.exists("a")
    assert snapshots.usage("one") == Usage(5, 1)
    snapshots.prepare("b", "one")
    with pytest.raises(Conflict, match="child"):
        snapshots.remove("one")
    snapshots.prepare("c", None)
    snapshots.commit("c", "one")  # it is there: dropped
    assert [info.key for info in snapshots.walk()] == ["one", "b"]
    snapshots.remove("b")
    snapshots.remove("one")
    for operation in (snapshots.stat, snapshots.remove, snapshots.mounts, snapshots.upper, snapshots.usage):
        with pytest.raises(NotFound):
            operation("one")


def test_a_killed_process_leaves_nothing(store: Store) -> None:
    """At whatever moment it was killed: a directory without a record, a staged layer, scratch, trash."""
    store.snapshots.prepare("kept", None)
    staged = store.snapshots.stage(None)
    (staged.path / "x").write_text("")
    (store.layout.scratch / "job").mkdir()
    (store.layout.trash / "old").mkdir()
    (store.layout.recipes / ".staged-overlay-7").write_text("")
    again = Store.at(store.layout.data_root)
    repaired = repair(again.layout, again.content, again.snapshots)
    assert repaired.snapshots >= 1  # and directories that were made ahead
    assert (repaired.scratch, repaired.recipes, repaired.trash) == (1, 1, 1)
    assert again.snapshots.exists("kept")
    assert not staged.path.exists()


def test_images_are_found_as_docker_finds_them(store: Store) -> None:
    id = store.image("a", "b")
    other = store.image("a", "c")
    name = Reference.parse("foo/bar:1")
    store.images.tag(name, id)
    find = store.images.find
    for text in ("foo/bar:1", "docker.io/foo/bar:1", str(id), id.hex, id.short, f"sha256:{id.short}"):
        assert find(text).id == id
    record = find("foo/bar:1")
    assert (record.references, record.size, record.parent) == ((name,), 2, None)
    manifest = Digest.of(b"manifest")
    store.images.record_digest(name, manifest, id)
    assert find(f"foo/bar@{manifest}").id == id
    assert find(str(id)).repo_digests == (name.with_digest(manifest),)
    assert store.images.tag(name, other) == id
    assert find("foo/bar:1").id == other
    for text, told in (("nope", "nope:latest"), ("sha256:ffff", "sha256:ffff"), ("f" * 64, "f" * 64)):
        with pytest.raises(NotFound, match=f"No such image: {told}"):
            find(text)
    with pytest.raises(Invalid):
        find("Bad Name")


def test_untag_and_delete(store: Store) -> None:
    id = store.image("a")
    name = Reference.parse("x")
    store.images.tag(name, id, Digest.of(b"m"))
    assert store.images.untag(name)
    assert not store.images.untag(name)
    assert store.images.untag(name.with_digest(Digest.of(b"m")))
    store.images.tag(name, id)
    child = store.images.add(b'{"rootfs":{"diff_ids":[]},"n":1}', parent=id)
    assert store.images.children(id) == [child]
    store.images.delete(id)
    assert store.images.ids() == [child]
    with pytest.raises(NotFound):
        store.images.find("x")
    with pytest.raises(NotFound):
        store.images.tag(name, id)


def test_an_image_needs_its_layers(store: Store) -> None:
    missing = {"rootfs": {"diff_ids": [str(Digest.of(b"nowhere"))]}}
    with pytest.raises(NotFound):
        store.images.add(json.dumps(missing).encode())


def test_layer_blobs_are_forgotten_when_gone(store: Store) -> None:
    blob = store.content.write(b"packed")
    diff_id = Digest.of(b"plain")
    described = Descriptor("a/b", blob, 6)
    store.images.record_layer_blob(diff_id, described)
    assert store.images.layer_blob(diff_id) == described
    assert store.images.layer_blob(diff_id, "c/d") is None
    assert store.images.layer_of_blob(blob) == diff_id
    store.content.delete(blob)
    assert store.images.layer_blob(diff_id) is None


def test_collection_keeps_what_is_needed(store: Store) -> None:
    kept, doomed = store.image("base", "one"), store.image("base", "two")
    loose, held = store.content.write(b"loose"), store.content.write(b"held")
    store.snapshots.prepare("rooted", None)
    store.snapshots.commit("rooted", "rooted-name")
    lease = store.leases.create()
    lease.hold_content(held)
    store.images.delete(doomed)
    assert store.collector().plan(snapshots=["rooted-name"]).blobs == ()  # all young
    gone = store.collector().collect(snapshots=["rooted-name"], grace=-1)
    assert {digest for digest, _ in gone.blobs} == {loose, doomed}
    assert [size for _, size in gone.snapshots] == [3]
    assert gone.size == 3 + 5 + len(b"") + sum(size for digest, size in gone.blobs if digest == doomed)
    assert store.images.find(str(kept)).size == 7
    lease.release()
    gone = store.collector().collect(grace=-1)
    assert {digest for digest, _ in gone.blobs} == {held}
    assert [name for name, _ in gone.snapshots] == ["rooted-name"]


def test_active_snapshots_hold_their_parents(store: Store) -> None:
    id = store.image("a", "b")
    chain = store.images.get(id).config.chain_id
    store.snapshots.prepare("container", str(chain))
    store.images.delete(id)
    assert store.collector().collect(grace=-1).snapshots == ()
    store.snapshots.remove("container")
    assert len(store.collector().collect(grace=-1).snapshots) == 2


def test_leases_expire(store: Store) -> None:
    store.leases.create(seconds=-1).hold_snapshot("x")
    assert store.leases.held() == (set(), set())


def test_other_tools_see_tagged_manifests(store: Store) -> None:
    """The content store is an OCI layout: index.json names what was pulled or pushed, and only that."""

    def index() -> Index:
        return Index.parse((store.layout.content / "index.json").read_bytes())

    assert index().manifests == ()
    id, built = store.image("a"), store.image("b")
    store.images.tag(Reference.parse("built"), built)
    store.images.tag(Reference.parse("x:1"), id)
    assert index().manifests == ()
    manifest = Descriptor(media_types.OCI_MANIFEST, Digest.of(b"m"), 1)
    store.images.add(store.images.config(id).to_bytes(), manifest=manifest)
    (found,) = index().manifests
    assert found.digest == manifest.digest
    assert found.annotations == {"org.opencontainers.image.ref.name": "docker.io/library/x:1"}
    store.images.untag(Reference.parse("x:1"))
    assert index().manifests == ()
