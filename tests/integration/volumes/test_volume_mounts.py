"""Volumes with options, on real mounts."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from tests.rig.facts import MemoryFacts

from corten.errors import Internal
from corten.kernel import mounts
from corten.volumes.service import Volumes

pytestmark = pytest.mark.root


def is_mounted(path: Path) -> bool:
    return any(each.target == str(path) for each in mounts.mountinfo())


def test_mounted_for_the_first_and_unmounted_after_the_last(tmp_path: Path) -> None:
    async def story() -> None:
        volumes = Volumes(MemoryFacts(), tmp_path / "v")
        await volumes.open()
        options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=700"}
        volume, _ = await volumes.create("mem", options=options)
        for container in ("a", "b"):
            await volumes.acquire("mem", container)
            path = await volumes.mount("mem", container)
        assert is_mounted(path)
        assert os.statvfs(path).f_blocks * os.statvfs(path).f_frsize == 1 << 20
        await volumes.unmount("mem", "a")
        assert is_mounted(path)
        await volumes.release("mem", "b")  # removed by force while it ran
        assert not is_mounted(path)
        await volumes.release("mem", "a")
        await volumes.remove(volume.name)

    asyncio.run(story())


def test_a_bind_is_never_deleted_through_its_volume(tmp_path: Path) -> None:
    async def story() -> None:
        source = tmp_path / "source"
        source.mkdir()
        (source / "precious").write_text("x")
        facts = MemoryFacts()
        volumes = Volumes(facts, tmp_path / "v")
        await volumes.open()
        await volumes.create("bound", options={"type": "none", "device": str(source), "o": "bind,ro"})
        await volumes.acquire("bound", "a")
        path = await volumes.mount("bound", "a")
        assert (path / "precious").read_text() == "x"
        with pytest.raises(OSError, match="Read-only"):
            (path / "new").write_text("x")
        # the daemon is killed; the container is gone when it is back
        second = Volumes(facts, tmp_path / "v")
        await second.open()
        await second.reconcile({})
        assert not is_mounted(path)
        await second.remove("bound")
        await second.close()
        assert (source / "precious").exists()

    asyncio.run(story())


def test_what_cannot_be_mounted_says_why(tmp_path: Path) -> None:
    async def story() -> None:
        volumes = Volumes(MemoryFacts(), tmp_path / "v")
        await volumes.open()
        await volumes.create("nope", options={"type": "none", "device": "/does/not/exist", "o": "bind"})
        with pytest.raises(Internal, match=r"failed to mount local volume: mount /does/not/exist.*no such file"):
            await volumes.mount("nope", "a")
        for kind, device, data in (
            ("nfs", ":/export", "addr=192.0.2.1,rw,nolock"),
            ("cifs", "//192.0.2.1/share", "addr=192.0.2.1,username=u,password=p"),
        ):
            await volumes.create(kind, options={"type": kind, "device": device, "o": data})
            if kind not in Path("/proc/filesystems").read_text().split():
                with pytest.raises(
                    Internal, match=rf"mount {device}:.*no such device.*kernel has no file system {kind}"
                ):
                    await volumes.mount(kind, "a")

    asyncio.run(story())
