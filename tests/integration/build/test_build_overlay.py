"""The builder on real overlay snapshots: detached mounts, layers of small steps, mount points tidied, bind mounts."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from corten.build import upper
from corten.build.args import Platforms
from corten.build.context import SourceTree
from corten.build.ports import DiffResult, Ports, RunRequest
from corten.build.request import BuildRequest, BuildResult
from corten.build.solve import Builder
from corten.build.submount import piece_of
from corten.build.tree import DetachedTrees
from corten.kernel import mounts
from corten.kernel.paths import Root
from corten.store.db import Database
from corten.store.layers.pack import pack
from corten.store.layout import Layout
from corten.store.snapshots.overlay import OverlaySnapshots
from fakes.build import FakeCache, FakeImages, FakeSink, Recorder

pytestmark = pytest.mark.root


@dataclass
class RealLayers:
    snapshots: OverlaySnapshots

    async def diff(self, key: str) -> DiffResult:
        packed = pack(self.snapshots.upper(key))
        return DiffResult(str(packed.diff_id), packed.size, packed.empty)


@dataclass
class Inside:
    """An executor that works on the mounted tree with a Python function."""

    snapshots: OverlaySnapshots
    action: Callable[[Root, RunRequest], int]

    async def run(self, request: RunRequest, output: Callable[[bytes], None]) -> int:
        with DetachedTrees().open(self.snapshots.mounts(request.key)) as fd:
            root = Root(fd)
            for path in ("/etc/hosts", "/etc/resolv.conf"):  # what a runtime makes to mount on
                os.close(root.ensure_file(path))
            for path in ("/proc", "/sys", "/dev"):
                os.close(root.mkdirs(path))
            for mount in request.mounts:
                os.close(root.mkdirs(mount.target))
            return self.action(root, request)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OverlaySnapshots]:
    layout = Layout(tmp_path / "data")
    layout.make()
    database = Database.open(layout.database)
    before = {(each.target, each.source) for each in mounts.mountinfo()}
    yield OverlaySnapshots(database, layout)
    database.close()
    assert {(each.target, each.source) for each in mounts.mountinfo()} == before


def builder(
    store: OverlaySnapshots, tmp_path: Path, action: Callable[[Root, RunRequest], int] | None = None
) -> Builder:
    for name in ("scratch", "mounts", "private"):
        (tmp_path / name).mkdir(exist_ok=True)
    executor = Inside(store, action or (lambda root, request: 0))
    ports = Ports(
        FakeImages(),
        store,
        DetachedTrees(),
        executor,
        RealLayers(store),
        FakeCache(),
        FakeSink(),
        tmp_path / "scratch",
        tmp_path / "mounts",
        tmp_path / "private",
    )
    return Builder(ports, Platforms())


def build(maker: Builder, dockerfile: str, context: Path | None = None, **options: Any) -> tuple[BuildResult, str]:
    recorder = Recorder()
    return asyncio.run(maker.build(BuildRequest(dockerfile, context, **options), recorder)), recorder.text


def tree(store: OverlaySnapshots, result: BuildResult) -> dict[str, str]:
    assert result.chain is not None
    with DetachedTrees().open(store.mounts(result.chain)) as fd:
        root = Root(fd)
        return {
            path: root.read_bytes(path).decode() if stat.S_ISREG(status.st_mode) else "" for path, status in root.walk()
        }


def test_copies_and_runs_make_layers(store: OverlaySnapshots, tmp_path: Path) -> None:
    context = tmp_path / "context"
    (context / "d").mkdir(parents=True)
    (context / "d/f").write_text("1")

    def action(root: Root, request: RunRequest) -> int:
        if request.args[-1] == "write":
            root.write_bytes("/etc/made", b"2")
        return 0

    maker = builder(store, tmp_path, action)
    dockerfile = "FROM scratch\nCOPY d /d\nRUN nothing\nRUN write\nWORKDIR /w/x\nWORKDIR /d\nCOPY d/f g/\n"
    result, text = build(maker, dockerfile, context)
    files = tree(store, result)
    assert files["/d/f"] == "1"
    assert files["/etc/made"] == "2"
    assert files["/d/g/f"] == "1"
    assert "/w/x" in files
    assert "/proc" not in files
    assert "/etc/hosts" not in files
    # COPY, RUN write, WORKDIR /w/x, COPY: what changed nothing has no layer
    assert len(result.diff_ids) == 4
    empty = [each.get("empty_layer", False) for each in result.config["history"]]
    assert empty == [False, True, False, False, True, False]
    again, text = build(maker, dockerfile, context)
    assert again.image_id == result.image_id
    assert text.count("Using cache") == 6


def test_a_run_that_changes_nothing_has_no_layer(store: OverlaySnapshots, tmp_path: Path) -> None:
    context = tmp_path / "context"
    (context / "etc").mkdir(parents=True)
    (context / "etc/passwd").write_text("")
    maker = builder(store, tmp_path)
    result, _ = build(maker, "FROM scratch\nCOPY . /\nRUN a\nRUN --mount=type=tmpfs,target=/tmp/x b\n", context)
    assert len(result.diff_ids) == 1
    assert "/tmp" not in tree(store, result)


def test_whiteouts_of_a_step(store: OverlaySnapshots, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "f").write_text("1")

    def action(root: Root, request: RunRequest) -> int:
        root.unlink("/f")
        return 0

    result, _ = build(builder(store, tmp_path, action), "FROM scratch\nCOPY f /\nRUN rm\n", context)
    assert "/f" not in tree(store, result)
    assert len(result.diff_ids) == 2


def test_many_layers(store: OverlaySnapshots, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "f").write_text("1")
    dockerfile = "FROM scratch\n" + "".join(f"COPY f /f{number}\n" for number in range(60))
    result, _ = build(builder(store, tmp_path), dockerfile, context)
    assert len(tree(store, result)) == 60


def prepared(store: OverlaySnapshots, layers: list[Callable[[Path], None]]) -> str:
    parent: str | None = None
    for number, fill in enumerate(layers):
        store.prepare(f"build-{number}", parent)
        fill(store.upper(f"build-{number}"))
        store.commit(f"build-{number}", f"sha256:{number:064d}")
        parent = f"sha256:{number:064d}"
    assert parent is not None
    return parent


def fill(**files: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        for name, text in files.items():
            target = path / name.replace("__", "/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if text == "!":
                os.mknod(target, 0o020600, 0)
            elif text == "opaque":
                target.mkdir(exist_ok=True)
                os.setxattr(target, "trusted.overlay.opaque", b"y")
            elif text.startswith("->"):
                target.symlink_to(text[2:])
            else:
                target.write_text(text)

    return write


@pytest.mark.parametrize(
    ("layers", "path", "expected"),
    [
        ([fill(a__f="1"), fill(a__g="2")], "/a", {"f", "g"}),
        ([fill(a__f="1"), fill(a__f="!")], "/a", set()),
        ([fill(a__b__f="1"), fill(a__b="opaque"), fill(a__b__g="2")], "/a/b", {"g"}),
        ([fill(a__b__f="1"), fill(a="opaque"), fill(a__b__g="2")], "/a/b", {"g"}),
        ([fill(a__b__f="1"), fill(link="->a")], "/link/b", {"f"}),
        ([fill(x="1"), fill(a__f="1")], "/a", {"f"}),
    ],
)
def test_a_part_of_a_snapshot_is_a_mount(
    store: OverlaySnapshots, layers: list[Callable[[Path], None]], path: str, expected: set[str]
) -> None:
    piece = piece_of(store.mounts(prepared(store, layers)), path, DetachedTrees())
    kind, source, options = piece.read_only()
    if kind == "bind":
        assert set(os.listdir(source)) == expected
        return
    fd = mounts.detached(kind, [tuple(option.split("=", 1)) for option in options if "=" in option], source=source)  # type: ignore[misc]
    with Root(fd) as root:
        assert set(root.list()) == expected


def test_what_the_user_put_in_place_stays(store: OverlaySnapshots, tmp_path: Path) -> None:
    base = prepared(store, [fill(etc__passwd="x")])
    store.prepare("build-x", base)
    directory = store.upper("build-x")
    (directory / "etc").mkdir()
    (directory / "etc/hosts").write_text("")
    (directory / "etc/mine").write_text("")
    (directory / "proc").mkdir()
    upper.remove_stubs(directory, lambda: store.mounts("build-x"), ["/cache/deep"])
    assert sorted(os.listdir(directory)) == ["etc"]
    assert os.listdir(directory / "etc") == ["mine"]
    os.unlink(directory / "etc/mine")
    (directory / "etc/hosts").write_text("")
    (directory / "etc").chmod(0o700)
    upper.remove_stubs(directory, lambda: store.mounts("build-x"), [])
    assert os.listdir(directory) == ["etc"]  # its mode was changed: that is the user's doing
    store.remove("build-x")


def test_a_source_tree_of_a_snapshot(store: OverlaySnapshots) -> None:
    chain = prepared(store, [fill(a__f="1"), fill(b__g="2", link="->/a")])
    with DetachedTrees().open(store.mounts(chain)) as fd:
        source = SourceTree(Root(fd), is_context=False)
        assert [item.path for item in source.find("/link")] == ["a"]
        assert [item.path for item in source.find("*/?")] == ["a/f", "b/g", "a/f"]
        item = source.find("b")[0]
        assert [found.path for found in source.entries(replace(item))] == ["g"]
