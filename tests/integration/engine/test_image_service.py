"""The image service on a real store: import, tag, list, history, inspect, remove, prune, commit."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from corten.api.filters import Filters
from corten.distribution.client import Distribution
from corten.engine.events import Events
from corten.engine.images.ground import ImageGround
from corten.engine.images.imports import CommitRequest
from corten.engine.images.pull import Puller
from corten.engine.images.service import ImageService
from corten.engine.images.shelf import ImageShelf, Tenant
from corten.errors import Conflict, Invalid, NotFound
from corten.spec import media_types
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.image import ImageConfig, Index, Manifest
from corten.spec.platform import Platform, host
from corten.spec.reference import Reference
from corten.store.content import Content
from corten.store.db import Database
from corten.store.images import Images
from corten.store.layout import Layout
from corten.store.snapshots.overlay import OverlaySnapshots
from corten.store.unpack import Unpacker
from corten.store.workers import Workers

pytestmark = pytest.mark.root


class Silent:
    def update(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        pass

    def message(self, status: str, id: str | None = None) -> None:
        pass


class Rig:
    """An image service and what it stands on."""

    def __init__(self, root: Path) -> None:
        layout = Layout(root)
        layout.make()
        self.database = Database.open(layout.database)
        self.snapshots = OverlaySnapshots(self.database, layout)
        content = Content(layout.content)
        content.make()
        images = Images(self.database, content, self.snapshots)
        self.workers = Workers()
        self.tenants: list[Tenant] = []
        self.events = Events(None)
        self.ground = ImageGround(
            layout=layout,
            content=content,
            images=images,
            snapshots=self.snapshots,
            workers=self.workers,
            unpacker=Unpacker(self.snapshots, self.workers, layout),
            distribution=Distribution(),
            events=self.events,
        )
        self.shelf = ImageShelf(images, self.snapshots, lambda: self.tenants)
        self.service = ImageService(self.ground, self.shelf, Puller(self.ground), lambda: None)

    async def close(self) -> None:
        await self.workers.close()
        await self.ground.distribution.close()
        self.database.close()

    async def add(self, name: str, files: dict[str, bytes], *changes: str) -> str:
        repository, _, tag = name.partition(":")
        wanted = self.service.import_request("-", repository, tag, "made here", changes, None)
        return await self.service.import_image(wanted, chunks(tar(files)), Silent())

    def seen(self) -> list[str]:
        return [event.action for event in self.events._kept]


def tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


async def chunks(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 1000):
        yield data[at : at + 1000]


def run(tmp_path: Path, scenario: Callable[[Rig], Awaitable[None]]) -> None:
    async def main() -> None:
        rig = Rig(tmp_path / "root")
        try:
            await scenario(rig)
        finally:
            await rig.close()

    asyncio.run(main())


def test_an_import_is_listed_inspected_tagged_and_removed(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        image = await rig.add("box:1", {"etc/a": b"aaaa", "b": b"bb"}, 'CMD ["/b"]', "LABEL k=v")
        (row,) = rig.service.list(Filters())
        assert (row["Id"], row["RepoTags"], row["Size"], row["Labels"]) == (image, ["box:1"], 6, {"k": "v"})
        view = rig.service.inspect("box:1")
        assert view["Config"]["Cmd"] == ["/b"]
        assert view["Comment"] == "made here"
        assert len(view["RootFS"]["Layers"]) == 1
        assert Path(view["GraphDriver"]["Data"]["UpperDir"], "etc/a").read_bytes() == b"aaaa"
        (step,) = rig.service.history(image[7:19])
        assert (step["Id"], step["Size"], step["Tags"], step["Comment"]) == (image, 6, ["box:1"], "made here")
        rig.service.tag("box:1", "other/box", "")
        assert rig.service.inspect(image)["RepoTags"] == ["box:1", "other/box:latest"]
        assert rig.service.remove("box:1") == [{"Untagged": "box:1"}]
        layer = view["RootFS"]["Layers"][0]
        assert rig.service.remove("other/box") == [
            {"Untagged": "other/box:latest"},
            {"Deleted": image},
            {"Deleted": layer},
        ]
        assert rig.service.list(Filters()) == []
        assert not rig.snapshots.exists(layer)
        assert rig.seen() == ["tag", "import", "tag", "untag", "untag", "delete"]
        with pytest.raises(NotFound, match="No such image: box:1"):
            rig.service.inspect("box:1")

    run(tmp_path, scenario)


def test_bad_archives_leave_nothing(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        for data in (b"", b"nonsense" * 500, tar({"a": b"x" * 2000})[:1024]):
            wanted = rig.service.import_request("-", "x", "", "m", [], None)
            with pytest.raises(Invalid):
                await rig.service.import_image(wanted, chunks(data), Silent())
        with pytest.raises(Invalid):
            rig.service.import_request("-", "UPPER", "", "m", [], None)
        with pytest.raises(Invalid):
            rig.service.import_request("-", "x", "", "m", ["RUN x"], None)
        assert rig.service.list(Filters()) == []
        assert list(rig.snapshots.walk()) == []
        assert list(rig.ground.layout.scratch.iterdir()) == []

    run(tmp_path, scenario)


def test_containers_hold_images(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        image = await rig.add("box:1", {"a": b"a"})
        rig.tenants.append(Tenant("c" * 64, image, False))
        with pytest.raises(Conflict, match="must force"):
            rig.service.remove("box:1")
        assert rig.service.usage()[0]["Containers"] == 1
        assert rig.service.prune(Filters({"dangling": ("false",)})) == ([], 0)
        rig.tenants.clear()
        gone, reclaimed = rig.service.prune(Filters({"dangling": ("false",)}))
        assert reclaimed == 1
        assert gone[0] == {"Untagged": "box:1"}

    run(tmp_path, scenario)


def test_prune_takes_dangling_images_by_default(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        first = await rig.add("box:1", {"a": b"a"})
        second = await rig.add("box:1", {"a": b"bb"})
        rows = {row["Id"]: row["RepoTags"] for row in rig.service.list(Filters())}
        assert rows == {first: [], second: ["box:1"]}
        assert [row["Id"] for row in rig.service.list(Filters({"dangling": ("true",)}))] == [first]
        assert [row["Id"] for row in rig.service.list(Filters({"reference": ("bo?",)}))] == [second]
        assert rig.service.prune(Filters({"label": ("none",)}))[0] == []
        gone, reclaimed = rig.service.prune(Filters())
        assert gone[0] == {"Deleted": first}
        assert reclaimed == 1
        assert [row["Id"] for row in rig.service.list(Filters())] == [second]

    run(tmp_path, scenario)


def test_a_commit_adds_what_the_container_changed(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        base = rig.service.find(await rig.add("box:1", {"a": b"a"}))
        rig.snapshots.prepare("c1", str(base.config.chain_id))
        (rig.snapshots.upper("c1") / "new").write_bytes(b"12345")
        image = await rig.service.commit(
            CommitRequest("c1", base, {"Cmd": ["x"]}, "c" * 64, {"Cmd": ["x"]}, None, "me", "why")
        )
        record = rig.service.find(image)
        assert record.parent == base.id
        assert record.size == 6
        assert [step["Size"] for step in rig.service.history(image)] == [5, 1]
        view = rig.service.inspect(image)
        assert (view["Author"], view["Comment"], view["Parent"]) == ("me", "why", str(base.id))
        body = json.loads(ImageConfig.parse(record.config.to_bytes()).data)
        assert body["config"] == {"Cmd": ["x"]}
        rig.snapshots.prepare("c2", str(base.config.chain_id))
        empty = rig.service.find(await rig.service.commit(CommitRequest("c2", base, {"Cmd": ["y"]}, "d" * 64)))
        assert empty.config.diff_ids == base.config.diff_ids
        with pytest.raises(Conflict, match="dependent child images"):
            rig.service.remove(base.id.short, force=True)

    run(tmp_path, scenario)


def index_of(rig: Rig, images: dict[str, Platform], name: str) -> Digest:
    """Give images manifests, and a name the index of these."""
    listed = []
    for image, platform in images.items():
        config = rig.ground.content.read(Digest.parse(image))
        data = Manifest(Descriptor(media_types.OCI_CONFIG, Digest.of(config), len(config)), ()).to_bytes()
        described = Descriptor(media_types.OCI_MANIFEST, rig.ground.content.write(data), len(data))
        rig.ground.images.add(config, manifest=described)
        listed.append(replace(described, platform=platform))
    index = rig.ground.content.write(Index(tuple(listed)).to_bytes())
    rig.ground.images.tag(Reference.parse(name), Digest.parse(next(iter(images))), index)
    return index


def test_a_name_of_several_platforms_is_one_row(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        here, there = await rig.add("one:1", {"a": b"aaaa"}), await rig.add("two:1", {"b": b"bb"})
        index = index_of(rig, {here: host(), there: Platform("linux", "s390x")}, "many:1")
        rig.service.remove("one:1")
        rig.service.remove("two:1")
        (row,) = rig.service.list(Filters(), manifests=True)
        assert (row["Id"], row["RepoTags"], row["Size"]) == (here, ["many:1"], 6)
        assert row["RepoDigests"] == [f"many@{index}"] and row["Descriptor"]["digest"] == str(index)
        assert [(each["Kind"], each["Available"], each["Size"]["Total"] > 0) for each in row["Manifests"]] == [
            ("image", True, True),
            ("image", True, True),
        ]
        view = rig.service.inspect("many:1", platform=Platform("linux", "s390x"))
        assert (view["Id"], view["RepoTags"], view["RepoDigests"]) == (there, ["many:1"], [f"many@{index}"])
        rig.tenants.append(Tenant("c" * 64, there, False))
        (counted,) = rig.service.usage()
        assert counted["Containers"] == 1
        assert rig.service.prune(Filters.parse('{"dangling":["false"]}'))[0] == []
        rig.tenants.clear()
        rig.service.drop(there)
        assert [each["Available"] for each in rig.service.inspect("many:1", manifests=True)["Manifests"]] == [
            True,
            False,
        ]
        gone = rig.service.remove("many:1")
        assert {"Deleted": here} in gone and rig.service.ids() == []

    run(tmp_path, scenario)


def test_dropping_the_bound_image_leaves_the_name_to_another(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        here, there = await rig.add("one:1", {"a": b"aaaa"}), await rig.add("two:1", {"b": b"bb"})
        index_of(rig, {here: host(), there: Platform("linux", "s390x")}, "many:1")
        rig.service.drop(here)
        assert rig.service.inspect("many:1")["Id"] == there
        assert rig.service.ids() == [there]

    run(tmp_path, scenario)
