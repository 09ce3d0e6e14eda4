"""Volumes without mounts: records, references, removal, a daemon that dies in between."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.rig.facts import MemoryFacts

from corten.errors import Conflict, NotFound
from corten.volumes.model import ANONYMOUS_LABEL
from corten.volumes.service import Volumes


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def test_life_of_a_volume(tmp_path: Path) -> None:
    async def story() -> None:
        volumes = Volumes(MemoryFacts(), tmp_path / "volumes")
        await volumes.open()
        data, is_new = await volumes.create("data", labels={"a": "b"})
        assert is_new
        assert (await volumes.create("data", labels={"other": "x"})) == (data, False)
        assert data.mountpoint == tmp_path / "volumes" / "data" / "_data"
        await volumes.acquire("data", "c1")
        path = await volumes.mount("data", "c1")
        (path / "file").write_bytes(b"x" * 1000)
        os.link(path / "file", path / "same")
        assert (await volumes.usage("data")).size == 1000
        assert (await volumes.usage("data")).references == 1
        with pytest.raises(Conflict, match=r"volume is in use - \[c1\]"):
            await volumes.remove("data")
        await volumes.unmount("data", "c1")
        with pytest.raises(Conflict):
            await volumes.remove("data", force=True)
        await volumes.release("data", "c1")
        assert await volumes.remove("data")
        await volumes.close()
        assert [each.name for each in (tmp_path / "volumes").iterdir()] == [".trash"]
        assert list((tmp_path / "volumes" / ".trash").iterdir()) == []
        with pytest.raises(NotFound, match="get data: no such volume"):
            await volumes.remove("data")
        assert not await volumes.remove("data", force=True)

    run(story())


def test_anonymous_ones_are_marked(tmp_path: Path) -> None:
    async def story() -> None:
        volumes = Volumes(MemoryFacts(), tmp_path)
        await volumes.open()
        volume, _ = await volumes.create()
        assert volume.anonymous
        assert ANONYMOUS_LABEL in volume.labels
        assert len(volume.name) == 64
        with pytest.raises(NotFound, match="plugin"):
            await volumes.create("x2", driver="rexray")

    run(story())


def test_after_a_crash(tmp_path: Path) -> None:
    async def story() -> None:
        facts = MemoryFacts()
        first = Volumes(facts, tmp_path)
        await first.open()
        await first.create("kept")
        await first.acquire("kept", "gone")
        await first.acquire("kept", "there")
        (tmp_path / ".trash" / "half").mkdir()
        (tmp_path / ".trash" / "half" / "file").write_text("x")
        (tmp_path / "found" / "_data").mkdir(parents=True)  # a directory whose record was lost
        (tmp_path / "kept" / "_data").rmdir()  # a record whose directory was never made
        second = Volumes(facts, tmp_path)
        await second.open()
        await second.reconcile({"there": False})
        assert second.references("kept") == {"there"}
        assert sorted(each.name for each in second.all()) == ["found", "kept"]
        assert (await second.mount("kept", "there")).is_dir()
        await second.close()
        assert list((tmp_path / ".trash").iterdir()) == []

    run(story())


def test_links_in_a_volume_are_deleted_as_links(tmp_path: Path) -> None:
    async def story() -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "precious").write_text("x")
        volumes = Volumes(MemoryFacts(), tmp_path / "volumes")
        await volumes.open()
        volume, _ = await volumes.create("evil")
        (volume.mountpoint / "link").symlink_to(outside)
        assert (await volumes.usage("evil")).size < 1000
        await volumes.remove("evil")
        await volumes.close()
        assert (outside / "precious").exists()

    run(story())
