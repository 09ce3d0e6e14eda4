"""Names that stand for several platforms: what they are bound to, what they hold, what is kept and what goes."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from corten.spec import media_types
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.image import Index, Manifest
from corten.spec.platform import Platform, host
from corten.spec.reference import Reference
from corten.store.check import Checker
from corten.store.collect import Collector
from corten.store.content import Content
from corten.store.db import MIGRATIONS, Database
from corten.store.images import Images
from corten.store.layout import Layout
from corten.store.leases import Leases
from corten.store.snapshots.base import Snapshots
from corten.store.workers import Workers

HERE, THERE, NOWHERE = host(), Platform("linux", "s390x"), Platform("linux", "riscv64")
NAME, OTHER = Reference.parse("box:1"), Reference.parse("other:1")


class Rig:
    """A store whose images have no layers, so that nothing needs root."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.layout.make()
        self.database = Database.open(self.layout.database)
        self.content = Content(self.layout.content)
        snapshots = cast(Snapshots, SimpleNamespace(walk=list, exists=lambda key: False))
        self.images = Images(self.database, self.content, snapshots)
        self.collector = Collector(self.layout, self.content, snapshots, self.images, Leases(self.database))
        self.ids: dict[Platform, Digest] = {}
        self.manifests = {platform: self._manifest(platform) for platform in (HERE, THERE, NOWHERE)}
        self.index = self.content.write(Index(tuple(self.manifests.values())).to_bytes())

    def _manifest(self, platform: Platform) -> Descriptor:
        config = json.dumps({**platform.to_json(), "rootfs": {"type": "layers", "diff_ids": []}}).encode()
        self.ids[platform] = Digest.of(config)
        data = Manifest(Descriptor(media_types.OCI_CONFIG, Digest.of(config), len(config)), ()).to_bytes()
        return Descriptor(media_types.OCI_MANIFEST, Digest.of(data), len(data), platform)

    def bring(self, platform: Platform, *names: Reference) -> Digest:
        """As a pull does."""
        config = json.dumps({**platform.to_json(), "rootfs": {"type": "layers", "diff_ids": []}}).encode()
        data = Manifest(Descriptor(media_types.OCI_CONFIG, Digest.of(config), len(config)), ()).to_bytes()
        self.content.write(data)
        image = self.images.add(config, manifest=self.manifests[platform])
        for name in names:
            self.images.tag(name, image, self.index)
        return image

    def kept(self) -> set[Digest]:
        doomed = {digest for digest, _ in self.collector.plan(grace=-10).blobs}
        return set(self.content.digests()) - doomed


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_a_name_is_bound_to_the_image_for_this_host(rig: Rig) -> None:
    there = rig.bring(THERE, NAME)
    assert rig.images.find("box:1").id == there
    here = rig.bring(HERE, NAME)
    assert rig.images.find("box:1").id == here
    assert rig.bring(THERE, NAME) == there
    assert rig.images.find("box:1").id == here
    assert rig.images.find(f"box@{rig.index}").id == here
    assert rig.images.held() == {there: [NAME, NAME.with_digest(rig.index)]}


def test_an_image_is_found_for_a_platform(rig: Rig) -> None:
    rig.bring(HERE, NAME)
    there = rig.bring(THERE, NAME)
    found = rig.images.find_for("box:1", THERE)
    assert found is not None and found.id == there
    assert rig.images.find_for("box:1", NOWHERE) is None
    by_id = rig.images.find_for(str(rig.ids[HERE]), THERE)
    assert by_id is not None and by_id.id == there
    assert rig.images.find(str(rig.manifests[THERE].digest)).id == there


def test_an_index_whose_best_image_is_not_here_gives_no_second_best(rig: Rig) -> None:
    old, new = Platform("linux", "386"), Platform("linux", "amd64")
    rig.manifests = {platform: rig._manifest(platform) for platform in (old, new)}
    rig.index = rig.content.write(Index(tuple(rig.manifests.values())).to_bytes())
    rig.bring(old, NAME)
    assert rig.images.find_for("box:1", new) is None


def test_a_tag_takes_the_index_along_and_a_plain_one_drops_it(rig: Rig) -> None:
    image = rig.bring(HERE, NAME)
    rig.images.tag(OTHER, image, target=rig.images.target_of("box:1"))
    assert rig.images.target_of("other:1") == rig.index
    rig.images.tag(OTHER, image)
    assert rig.images.target_of("other:1") is None


def test_the_layout_names_the_index(rig: Rig) -> None:
    rig.bring(HERE, NAME)
    listed = json.loads((rig.content.root / "index.json").read_bytes())["manifests"]
    assert [entry["digest"] for entry in listed] == [str(rig.index)]


def test_what_an_index_has_here_is_kept_while_a_name_names_it(rig: Rig) -> None:
    rig.bring(HERE, NAME)
    rig.bring(THERE, NAME)
    documents = {rig.index, *(rig.manifests[platform].digest for platform in (HERE, THERE))}
    assert documents <= rig.kept()
    rig.images.hand_over(rig.ids[HERE])
    rig.images.delete(rig.ids[HERE])
    assert rig.images.find("box:1").id == rig.ids[THERE]
    assert rig.kept() == {rig.index, rig.manifests[THERE].digest, rig.ids[THERE]}
    for name in (NAME, NAME.with_digest(rig.index)):
        rig.images.untag(name)
    assert rig.index not in rig.kept()


def test_a_manifest_that_was_collected_is_forgotten(rig: Rig) -> None:
    image = rig.bring(HERE)
    newer = Manifest(Descriptor(media_types.DOCKER_CONFIG, image, 1), ()).to_bytes()
    described = Descriptor(media_types.OCI_MANIFEST, rig.content.write(newer), len(newer))
    rig.images.add(rig.content.read(image), manifest=described)
    rig.collector.collect(grace=-10)
    assert [manifest.digest for manifest, _ in rig.images.indexes.manifests()] == [described.digest]


async def faults(rig: Rig) -> list[str]:
    checker = Checker(
        rig.database, rig.layout, rig.content, rig.images._snapshots, rig.images, cast(Workers, SimpleNamespace())
    )
    return [str(fault) for fault in await checker.check(deep=False)]


def test_the_checker_misses_documents(rig: Rig) -> None:
    image = rig.bring(HERE, NAME)
    assert asyncio.run(faults(rig)) == []
    rig.content.path(rig.index).unlink()
    rig.content.path(rig.manifests[HERE].digest).unlink()
    assert asyncio.run(faults(rig)) == [
        f"image {image}: its manifest {rig.manifests[HERE].digest} is missing",
        f"index {rig.index}: it is missing, and names name it",
    ]


def test_an_index_is_no_index_until_its_document_is_here(rig: Rig) -> None:
    unknown = Digest.of(b"unknown")
    assert rig.images.indexes.get(unknown) is None
    assert rig.images.indexes.members(unknown) == []
    assert rig.images.indexes.get(rig.content.write(b"no index")) is None


def test_older_stores_learn_the_targets_of_their_tags(tmp_path: Path) -> None:
    path = tmp_path / "corten.db"
    connection: Any = sqlite3.connect(path)
    connection.executescript(MIGRATIONS[0])
    manifest = json.dumps({"mediaType": media_types.OCI_MANIFEST, "digest": "sha256:" + "a" * 64, "size": 1})
    connection.execute("INSERT INTO images VALUES ('one', NULL, ?, 0, NULL)", (manifest,))
    connection.execute("INSERT INTO images VALUES ('built', NULL, NULL, 0, NULL)")
    connection.executemany(
        "INSERT INTO tags VALUES (?, ?, ?)", [("a", "1", "one"), ("b", "1", "one"), ("c", "1", "built")]
    )
    connection.executemany(
        "INSERT INTO repo_digests VALUES (?, ?, 'one')", [("a", "sha256:i"), ("a", "sha256:" + "a" * 64)]
    )
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()
    database = Database.open(path)
    assert [tuple(row) for row in database.rows("SELECT name, target FROM tags ORDER BY name")] == [
        ("a", "sha256:i"),
        ("b", None),
        ("c", None),
    ]
    assert [row["image"] for row in database.rows("SELECT image FROM manifests")] == ["one"]
    database.close()
