"""Workers, unpacking in parallel, archives, the checker: with real processes, and killed ones."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from corten.errors import Internal, Invalid, NotFound
from corten.spec import media_types
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.image import chain_id, chain_ids
from corten.spec.reference import Reference
from corten.store.archives.load import load_image
from corten.store.archives.save import Saved, Saver
from corten.store.check import Checker
from corten.store.content import Content
from corten.store.db import Database
from corten.store.images import Images
from corten.store.layers.apply import Whiteouts
from corten.store.layout import Layout
from corten.store.repair import repair
from corten.store.snapshots.copy import CopySnapshots
from corten.store.snapshots.overlay import OverlaySnapshots
from corten.store.unpack import Unpacker
from corten.store.workers import Workers

pytestmark = pytest.mark.root


class Store:
    def __init__(self, root: Path, driver: type = OverlaySnapshots) -> None:
        self.layout = Layout(root)
        self.layout.make()
        self.database = Database.open(self.layout.database)
        self.content = Content(self.layout.content)
        self.snapshots = driver(self.database, self.layout)
        self.images = Images(self.database, self.content, self.snapshots)
        self.workers = Workers(2)
        self.unpacker = Unpacker(self.snapshots, self.workers, self.layout)
        self.saver = Saver(self.layout, self.content, self.images, self.snapshots, self.workers)
        self.checker = Checker(self.database, self.layout, self.content, self.snapshots, self.images, self.workers)

    async def faults(self) -> list[str]:
        return [str(fault) for fault in await self.checker.check()]


@asynccontextmanager
async def open_store(root: Path, driver: type = OverlaySnapshots) -> AsyncIterator[Store]:
    store = Store(root, driver)
    try:
        yield store
    finally:
        await store.workers.close()
        store.database.close()


def layer(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1000
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


LAYERS = [
    layer({"etc/a": b"1", "etc/b": b"2"}),
    layer({"etc/.wh.a": b"", "etc/c": b"3" * 70000}),
    layer({"etc/.wh..wh..opq": b"", "etc/d": b"4"}),
]
DIFF_IDS = [Digest.of(data) for data in LAYERS]
CONFIG = json.dumps(
    {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["x"]},
        "rootfs": {"type": "layers", "diff_ids": [str(item) for item in DIFF_IDS]},
    }
).encode()


def blobs(store: Store) -> list[Path]:
    return [store.content.path(store.content.write(gzip.compress(data, mtime=0))) for data in LAYERS]


@pytest.mark.parametrize("driver", [OverlaySnapshots, CopySnapshots])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_layers_in_any_order(tmp_path: Path, driver: type, order: tuple[int, ...]) -> None:
    async with open_store(tmp_path, driver) as store:
        paths = blobs(store)
        async with store.unpacker.session(DIFF_IDS) as session:
            for index in order:
                await session.add(index, paths[index])
            assert await session.finish() == chain_id(DIFF_IDS)
        id = store.images.add(CONFIG)
        assert store.images.get(id).size >= 70002
        async with store.unpacker.session(DIFF_IDS) as session:
            assert session.known(2)
            assert await session.finish() == chain_id(DIFF_IDS)
        assert await store.faults() == []


async def test_two_pulls_race(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        paths = blobs(store)

        async def pull(order: tuple[int, ...]) -> Digest | None:
            async with store.unpacker.session(DIFF_IDS) as session:
                await asyncio.gather(*(session.add(index, paths[index]) for index in order))
                return await session.finish()

        assert set(await asyncio.gather(pull((0, 1, 2)), pull((2, 0, 1)))) == {chain_id(DIFF_IDS)}
        assert len(list(store.snapshots.walk())) == 3
        assert store.snapshots.sweep() == 0


async def test_a_wrong_layer_leaves_nothing(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        paths = blobs(store)
        with pytest.raises(Invalid, match="diff ID"):
            async with store.unpacker.session(DIFF_IDS) as session:
                await session.add(1, paths[1])
                await session.add(0, paths[2])
        assert list(store.snapshots.walk()) == []
        assert store.snapshots.sweep() == 0
        assert os.listdir(store.layout.recipes) in ([], [DIFF_IDS[1].hex])
        with pytest.raises(Invalid, match="missing"):
            async with store.unpacker.session(DIFF_IDS) as session:
                await session.finish()


async def test_unpack_layer_on_a_parent(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        paths = blobs(store)
        with pytest.raises(NotFound):
            await store.unpacker.unpack_layer(paths[1], DIFF_IDS[1], DIFF_IDS[0])
        diff_id, chain = await store.unpacker.unpack_layer(paths[0], None, None)
        assert diff_id == chain == DIFF_IDS[0]
        assert await store.unpacker.unpack_layer(paths[1], DIFF_IDS[1], chain) == (DIFF_IDS[1], chain_id(DIFF_IDS[:2]))


async def test_a_killed_worker_is_told_and_replaced(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        (tmp_path / "out").mkdir()
        job = asyncio.ensure_future(store.workers.apply(fifo, tmp_path / "out"))
        while not store.workers._busy:
            await asyncio.sleep(0.01)
        (process,) = store.workers._busy
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(Internal, match="killed by SIGKILL"):
            await job
        assert await store.workers.hash(tmp_path / "corten.db")


async def test_an_overdue_or_cancelled_job_is_killed(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "out").mkdir()
    workers = Workers(1, timeout=0.5)
    with pytest.raises(Internal, match="not done after"):
        await workers.apply(fifo, tmp_path / "out")
    workers = Workers(1)
    job = asyncio.ensure_future(workers.apply(fifo, tmp_path / "out"))
    while not workers._busy:
        await asyncio.sleep(0.01)
    (process,) = workers._busy
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert await asyncio.wait_for(process.wait(), 10) == -signal.SIGKILL
    await workers.close()


async def test_a_worker_ends_with_its_daemon(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "out").mkdir()
    program = (
        "import asyncio, sys; from pathlib import Path; from corten.store.workers import Workers\n"
        "async def main():\n"
        "    workers = Workers()\n"
        f"    job = asyncio.ensure_future(workers.apply(Path({str(fifo)!r}), Path({str(tmp_path / 'out')!r})))\n"
        "    while not workers._busy: await asyncio.sleep(0.01)\n"
        "    print(next(iter(workers._busy)).pid, flush=True); await job\n"
        "asyncio.run(main())"
    )
    daemon = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert daemon.stdout is not None
    pid = int(daemon.stdout.readline())
    daemon.kill()
    daemon.wait()
    daemon.stdout.close()
    for _ in range(500):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                break
        except FileNotFoundError:
            break
        await asyncio.sleep(0.02)
    else:
        pytest.fail("the worker outlived its daemon")


async def test_hostile_tars_are_invalid_through_the_pipe(tmp_path: Path) -> None:
    async with open_store(tmp_path / "root") as store:
        (tmp_path / "bad.tar").write_bytes(layer({"../x": b"1"}))
        (tmp_path / "out").mkdir()
        with pytest.raises(Invalid, match="outside of the root"):
            await store.workers.apply(tmp_path / "bad.tar", tmp_path / "out", whiteouts=Whiteouts.DROP)
        assert not (tmp_path / "x").exists()


async def load_all(store: Store, path: Path, scratch: Path) -> list[Digest]:
    scratch.mkdir()
    return [
        await load_image(image, store.unpacker, store.images)
        for image in await store.workers.read_archive(path, scratch)
    ]


async def drained(store: Store, images: list[Saved]) -> bytes:
    async with store.saver.opened(images) as outflow:
        data = await asyncio.to_thread(read_all, outflow.fd)
    assert len(data) == outflow.size
    return data


def read_all(fd: int) -> bytes:
    with open(fd, "rb", closefd=False) as pipe:
        return pipe.read()


async def test_images_go_out_and_come_back(tmp_path: Path) -> None:
    name, other = Reference.parse("foo/bar:1"), Reference.parse("other:2")
    async with open_store(tmp_path / "one") as store:
        async with store.unpacker.session() as session:
            for index, data in enumerate(LAYERS):
                (tmp_path / "l.tar").write_bytes(data)
                await session.add(index, tmp_path / "l.tar")
            await session.finish(DIFF_IDS)
        id = store.images.add(CONFIG)
        store.images.tag(name, id)
        # One layer has a blob, the others are printed from the snapshots.
        packed = gzip.compress(LAYERS[1], mtime=0)
        blob = Descriptor(media_types.DOCKER_LAYER_GZIP, store.content.write(packed), len(packed))
        store.images.record_layer_blob(DIFF_IDS[1], blob)
        record = store.images.get(id)
        archive = await drained(store, [Saved(record, [name, other]), Saved(record)])
        (tmp_path / "saved.tar").write_bytes(archive)
        await store.saver.save([Saved(record, [name, other]), Saved(record)], tmp_path / "same.tar")
        assert (tmp_path / "same.tar").read_bytes() == archive
    names = tarfile.TarFile(tmp_path / "saved.tar").getnames()
    assert {"oci-layout", "index.json", "manifest.json", "repositories"} <= set(names)
    assert len(names) == len(set(names))
    for data, form in ((archive, "plain"), (gzip.compress(archive, 1), "gzip")):
        (tmp_path / "in.tar").write_bytes(data)
        async with open_store(tmp_path / form) as store:
            scratch = tmp_path / f"scratch-{form}"
            scratch.mkdir()
            images = await store.workers.read_archive(tmp_path / "in.tar", scratch)
            assert [image.references for image in images] == [(name, other), ()]
            assert [await load_image(image, store.unpacker, store.images) for image in images] == [id, id]
            upper = store.snapshots.upper(str(chain_ids(DIFF_IDS)[1]))
            assert (upper / "etc/c").read_bytes() == b"3" * 70000
            assert await store.faults() == []
            # What was loaded goes out with the very diff IDs it had: the recipes work.
            again = await drained(store, [Saved(store.images.get(id), [name])])
            assert len(again) > 70000


async def test_workers_may_be_started_before_they_are_needed() -> None:
    workers = Workers(2)
    try:
        workers.warm()
        workers.warm()
        while len(workers._idle) < 2:
            await asyncio.sleep(0.01)
        processes = set(workers._idle)
        assert str(await workers.hash(Path("/dev/null"))).startswith("sha256:e3b0c442")
        assert set(workers._idle) == processes
    finally:
        await workers.close()
    assert all(process.returncode is not None for process in processes)


async def test_a_pipe_that_nobody_reads_ends_its_worker(tmp_path: Path) -> None:
    async with open_store(tmp_path / "root") as store:
        (tmp_path / "l.tar").write_bytes(layer({"big": os.urandom(4 << 20)}))
        diff_id, _ = await store.unpacker.unpack_layer(tmp_path / "l.tar", None, None)
        id = store.images.add(json.dumps({"rootfs": {"diff_ids": [str(diff_id)]}}).encode())
        with pytest.raises(ConnectionResetError):
            async with store.saver.opened([Saved(store.images.get(id))]) as outflow:
                assert await asyncio.to_thread(os.read, outflow.fd, 1)
                raise ConnectionResetError
        assert not store.workers._busy


async def test_a_layer_that_was_changed_cuts_the_archive_short(tmp_path: Path) -> None:
    async with open_store(tmp_path / "root") as store:
        (tmp_path / "l.tar").write_bytes(layer({"big": os.urandom(1 << 20), "end": b"1"}))
        diff_id, chain = await store.unpacker.unpack_layer(tmp_path / "l.tar", None, None)
        id = store.images.add(json.dumps({"rootfs": {"diff_ids": [str(diff_id)]}}).encode())
        (store.snapshots.upper(str(chain)) / "end").write_bytes(b"2")
        data = b""
        with pytest.raises(Internal, match="were changed"):
            async with store.saver.opened([Saved(store.images.get(id))]) as outflow:
                data = await asyncio.to_thread(read_all, outflow.fd)
        assert 1 << 20 < len(data) < outflow.size


async def test_the_oci_form_alone(tmp_path: Path) -> None:
    """As skopeo, buildx or podman write it: index.json, no manifest.json."""
    async with open_store(tmp_path / "one") as store:
        config = Descriptor(media_types.OCI_CONFIG, Digest.of(CONFIG), len(CONFIG))
        layers = [Descriptor(media_types.OCI_LAYER, Digest.of(data), len(data)).to_json() for data in LAYERS]
        manifest = json.dumps({"schemaVersion": 2, "config": config.to_json(), "layers": layers}).encode()
        described = Descriptor(
            media_types.OCI_MANIFEST,
            Digest.of(manifest),
            len(manifest),
            annotations={"org.opencontainers.image.ref.name": "localhost/x:1"},
        )
        index = json.dumps({"schemaVersion": 2, "manifests": [described.to_json()]}).encode()
        files = {f"blobs/sha256/{Digest.of(data).hex}": data for data in (CONFIG, manifest, *LAYERS)}
        (tmp_path / "oci.tar").write_bytes(layer({**files, "index.json": index, "oci-layout": b"{}"}))
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        (image,) = await store.workers.read_archive(tmp_path / "oci.tar", scratch)
        assert image.references == (Reference.parse("localhost/x:1"),)
        assert await load_image(image, store.unpacker, store.images) == Digest.of(CONFIG)


OLD = {"Config": "c.json", "RepoTags": ["old:1"], "Layers": ["1/layer.tar", "2/layer.tar"]}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
async def test_the_old_form_with_links(tmp_path: Path, kind: bytes) -> None:
    config = json.dumps({"rootfs": {"diff_ids": [str(DIFF_IDS[0])] * 2}}).encode()
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, body in {
            "manifest.json": json.dumps([OLD]).encode(),
            "c.json": config,
            "1/layer.tar": LAYERS[0],
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
        link = tarfile.TarInfo("2/layer.tar")
        link.type, link.linkname = kind, "../1/layer.tar" if kind == tarfile.SYMTYPE else "1/layer.tar"
        tar.addfile(link)
    (tmp_path / "old.tar").write_bytes(data.getvalue())
    async with open_store(tmp_path / "root") as store:
        assert await load_all(store, tmp_path / "old.tar", tmp_path / "s") == [Digest.of(config)]


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"manifest.json": b"{"},
        {"manifest.json": b"{}"},
        {"manifest.json": b"[1]"},
        {"manifest.json": b'[{"Config":"../../etc/passwd","Layers":[]}]'},
        {"manifest.json": b'[{"Config":"c","Layers":["x"]}]', "c": CONFIG},
        {"manifest.json": b'[{"Config":"c","Layers":[]}]', "c": CONFIG},
        {"manifest.json": b'[{"Config":"c","RepoTags":["BAD NAME"]}]', "c": b"{}"},
        {"index.json": b'{"schemaVersion":2,"manifests":[{"digest":"sha256:../x","size":1,"mediaType":""}]}'},
        {"../manifest.json": b"[]"},
    ],
)
async def test_hostile_archives(tmp_path: Path, files: dict[str, bytes]) -> None:
    (tmp_path / "bad.tar").write_bytes(layer(files))
    async with open_store(tmp_path / "root") as store:
        with pytest.raises((Invalid, NotFound)):
            await load_all(store, tmp_path / "bad.tar", tmp_path / "s")
        assert store.images.ids() == []


async def test_a_lying_archive_leaves_no_image(tmp_path: Path) -> None:
    files = {
        "manifest.json": json.dumps([{**OLD, "Layers": ["a", "b", "c"]}]).encode(),
        "c.json": CONFIG,
        "a": LAYERS[0],
        "b": LAYERS[0],
        "c": LAYERS[2],
    }
    (tmp_path / "lie.tar").write_bytes(layer(files))
    async with open_store(tmp_path / "root") as store:
        with pytest.raises(Invalid, match="diff ID"):
            await load_all(store, tmp_path / "lie.tar", tmp_path / "s")
        assert store.images.ids() == []


async def test_the_checker_finds_damage(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        paths = blobs(store)
        async with store.unpacker.session(DIFF_IDS) as session:
            for index, path in enumerate(paths):
                await session.add(index, path)
            await session.finish()
        store.images.add(CONFIG)
        assert await store.faults() == []
        paths[0].write_bytes(b"spoiled")
        chains = [str(chain) for chain in chain_ids(DIFF_IDS)]
        (store.snapshots.upper(chains[1]) / "etc/c").write_bytes(b"spoiled")
        faults = await store.faults()
        assert len(faults) == 2
        assert faults[0].startswith(f"blob sha256:{paths[0].name}")
        assert faults[1].startswith(f"layer {chains[1]}")


@pytest.mark.parametrize("after", [0.02, 0.1, 0.25, 0.4])
def test_kill_9_in_the_middle_of_a_load(tmp_path: Path, after: float) -> None:
    """Whenever it comes: afterwards the store is sound, and the same load works."""
    root = tmp_path / "root"
    big = [layer({f"{number}/{item}": os.urandom(3000) for item in range(300)}) for number in range(3)]
    diff_ids = [Digest.of(data) for data in big]
    config = json.dumps({"rootfs": {"diff_ids": [str(item) for item in diff_ids]}}).encode()
    manifest = json.dumps([{"Config": "c", "Layers": ["0", "1", "2"]}]).encode()
    files = {"manifest.json": manifest, "c": config, **{str(number): data for number, data in enumerate(big)}}
    (tmp_path / "a.tar").write_bytes(layer(files))
    program = f"""
import asyncio, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_store_work import Store, load_all
async def main():
    store = Store(Path({str(root)!r}))
    print("ready", flush=True)
    await load_all(store, Path({str(tmp_path / "a.tar")!r}), store.layout.scratch / "s")
asyncio.run(main())
"""
    loader = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert loader.stdout is not None
    loader.stdout.readline()
    try:
        loader.wait(after)
    except subprocess.TimeoutExpired:
        loader.kill()
        loader.wait()
    loader.stdout.close()

    async def afterwards() -> None:
        async with open_store(root) as store:
            repair(store.layout, store.content, store.snapshots)
            assert await store.faults() == []
            assert store.snapshots.sweep() == 0
            assert await load_all(store, tmp_path / "a.tar", store.layout.scratch / "again") == [Digest.of(config)]
            assert await store.faults() == []

    asyncio.run(afterwards())


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo")
async def test_other_tools_read_and_write_our_archives(tmp_path: Path) -> None:
    (tmp_path / "l.tar").write_bytes(LAYERS[0])
    async with open_store(tmp_path / "one") as store:
        diff_id, _ = await store.unpacker.unpack_layer(tmp_path / "l.tar", None, None)
        config = json.dumps(
            {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [str(diff_id)]}}
        )
        id = store.images.add(config.encode())
        await store.saver.save([Saved(store.images.get(id), [Reference.parse("x/y:1")])], tmp_path / "saved.tar")
        for source in ("docker-archive", "oci-archive"):
            for form in ("docker-archive", "oci-archive"):
                out = tmp_path / f"{source}-{form}.tar"
                given, wanted = f"{source}:{tmp_path / 'saved.tar'}", f"{form}:{out}:a/b:2"
                command = ["skopeo", "copy", "--insecure-policy", given, wanted]
                subprocess.run(command, check=True, capture_output=True)
                async with open_store(tmp_path / out.stem) as other:
                    (loaded,) = await load_all(other, out, tmp_path / f"s-{out.stem}")
                    assert other.images.config(loaded).diff_ids == (diff_id,)
                    assert await other.faults() == []
