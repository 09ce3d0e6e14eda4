"""One suite for every snapshot driver: the same story must give the same trees and the same layers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from corten.errors import Conflict
from corten.store.db import Database
from corten.store.layers.changes import changes
from corten.store.layers.pack import pack
from corten.store.layout import Layout
from corten.store.snapshots.base import Snapshots
from corten.store.snapshots.btrfs import BtrfsSnapshots
from corten.store.snapshots.copy import CopySnapshots
from corten.store.snapshots.erofs import ErofsSnapshots
from corten.store.snapshots.overlay import OverlaySnapshots

pytestmark = pytest.mark.root
DRIVERS = {"overlay": OverlaySnapshots, "copy": CopySnapshots, "btrfs": BtrfsSnapshots, "erofs": ErofsSnapshots}


@pytest.fixture(params=sorted(DRIVERS))
def snapshots(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Snapshots]:
    root = tmp_path / "root"
    root.mkdir()
    loop = request.param == "btrfs"
    if loop:
        if shutil.which("mkfs.btrfs") is None:
            pytest.skip("needs btrfs-progs (apt-get install btrfs-progs)")
        image = tmp_path / "btrfs.img"
        with open(image, "wb") as file:
            file.truncate(256 << 20)
        subprocess.run(["mkfs.btrfs", "-q", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, root], check=True)
    try:
        layout = Layout(root)
        layout.make()
        database = Database.open(layout.database)
        driver: Snapshots = DRIVERS[request.param](database, layout)
        yield driver
        driver.close()
        database.close()
    finally:
        if loop:
            subprocess.run(["umount", "-l", root], check=True)


@contextmanager
def mounted(snapshots: Snapshots, key: str, at: Path) -> Iterator[Path]:
    at.mkdir(exist_ok=True)
    (mount,) = snapshots.mounts(key)
    options = [option for option in mount.options if option != "rbind"]
    command = ["mount", "--bind"] if mount.type == "bind" else ["mount", "-t", mount.type]
    subprocess.run([*command, "-o", ",".join(options), mount.source, at], check=True)
    try:
        if mount.type == "bind" and "ro" in options:
            subprocess.run(["mount", "-o", "remount,bind,ro", at], check=True)
        yield at
    finally:
        subprocess.run(["umount", at], check=True)


def build(snapshots: Snapshots, at: Path) -> None:
    """base -> one -> two: files come, change, go; a directory is replaced."""
    snapshots.prepare("a", None)
    with mounted(snapshots, "a", at) as root:
        (root / "etc/sub").mkdir(parents=True)
        for name in ("etc/keep", "etc/change", "etc/gone", "etc/sub/old", "link-a"):
            (root / name).write_text(name)
        os.link(root / "link-a", root / "link-b")
        os.symlink("etc/keep", root / "sym")
        os.chmod(root, 0o711)
    snapshots.commit("a", "base")
    snapshots.prepare("b", "base")
    with mounted(snapshots, "b", at) as root:
        (root / "etc/change").write_text("changed")
        (root / "etc/gone").unlink()
        (root / "new").write_text("new")
        os.chown(root / "etc/keep", 5, 6)
    snapshots.commit("b", "one")
    snapshots.prepare("c", "one")
    with mounted(snapshots, "c", at) as root:
        shutil.rmtree(root / "etc/sub")
        (root / "etc/sub").mkdir()
        (root / "etc/sub/fresh").write_text("fresh")
        os.rename(root / "new", root / "renamed")


def names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_the_story(snapshots: Snapshots, tmp_path: Path) -> None:
    at = tmp_path / "mnt"
    build(snapshots, at)
    with mounted(snapshots, "c", at) as root:
        assert names(root) == ["etc", "etc/change", "etc/keep", "etc/sub", "etc/sub/fresh",
                               "link-a", "link-b", "renamed", "sym"]  # fmt: skip
        assert (root / "etc/change").read_text() == "changed"
        assert ((root / "etc/keep").stat().st_uid, root.stat().st_mode & 0o7777) == (5, 0o711)
        assert (root / "link-a").stat().st_nlink == 2
    found = [f"{kind} {path}" for kind, path in changes(snapshots.upper("c"), snapshots.lowers("c"))]
    assert found == ["C /etc", "C /etc/sub", "A /etc/sub/fresh", "D /etc/sub/old", "D /new", "A /renamed"] or found == [
        "C /etc/sub",
        "A /etc/sub/fresh",
        "D /etc/sub/old",
        "D /new",
        "A /renamed",
    ]
    snapshots.commit("c", "two")
    with mounted(snapshots, "two", at) as root:
        assert "renamed" in names(root)
        with pytest.raises(OSError, match="Read-only"):
            (root / "x").write_text("")
    assert [(info.key, info.parent) for info in snapshots.walk()] == [("base", None), ("one", "base"), ("two", "one")]
    assert snapshots.usage("one").size >= len("changed") + len("new")


def test_committed_ones_never_change(snapshots: Snapshots, tmp_path: Path) -> None:
    at = tmp_path / "mnt"
    build(snapshots, at)
    before = pack(snapshots.upper("one"))
    snapshots.prepare("d", "one")
    with mounted(snapshots, "d", at) as root:
        for path in (root / "etc").iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        (root / "new").write_text("other")
    assert pack(snapshots.upper("one")) == before
    with mounted(snapshots, "one", at) as root:
        assert (root / "new").read_text() == "new"


def test_removal_and_conflicts(snapshots: Snapshots, tmp_path: Path) -> None:
    build(snapshots, tmp_path / "mnt")
    with pytest.raises(Conflict):
        snapshots.remove("one")
    with pytest.raises(Conflict):
        snapshots.commit("one", "again")
    snapshots.remove("c")
    snapshots.remove("one")
    snapshots.remove("base")
    assert list(snapshots.walk()) == []
    assert snapshots.sweep() == 0


def test_staged_layers_land_once(snapshots: Snapshots, tmp_path: Path) -> None:
    first, second = snapshots.stage(None), snapshots.stage(None)
    for staged in (first, second):
        (staged.path / "f").write_text("x")
    snapshots.land(first, "name", None)
    snapshots.land(second, "name", None)
    assert not second.path.exists()
    third = snapshots.stage("name")
    snapshots.unstage(third)
    assert not third.path.exists()
    with mounted(snapshots, "name", tmp_path / "mnt") as root:
        assert names(root) == ["f"]


def test_a_volatile_snapshot_mounts_again(snapshots: Snapshots, tmp_path: Path) -> None:
    snapshots.prepare("a", None)
    snapshots.commit("a", "base")
    snapshots.prepare("v", "base", volatile=True)
    for number in range(3):
        with mounted(snapshots, "v", tmp_path / "mnt") as root:
            (root / str(number)).write_text("")
    assert snapshots.stat("v").volatile


def test_unpacked_and_packed_layers_agree_between_drivers(tmp_path: Path) -> None:
    """The layer of the same step has the same bytes whichever driver ran it."""
    found = []
    for name in ("overlay", "copy"):
        layout = Layout(tmp_path / name)
        layout.make()
        database = Database.open(layout.database)
        driver: Snapshots = DRIVERS[name](database, layout)
        driver.prepare("a", None)
        upper = driver.upper("a")
        (upper / "d").mkdir()
        (upper / "d/gone").write_text("")
        (upper / "d/f").write_text("1")
        for path in (upper / "d/gone", upper / "d/f", upper / "d"):
            os.utime(path, (1000, 1000))
        driver.commit("a", "base")
        driver.prepare("b", "base")
        with mounted(driver, "b", tmp_path / "mnt") as root:
            (root / "d/gone").unlink()
            (root / "d/f").write_text("22")
            for path in (root / "d/f", root / "d"):
                os.utime(path, (2000, 2000))
        found.append(pack(driver.upper("b")))
        database.close()
    assert found[0] == found[1]
