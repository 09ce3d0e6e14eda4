"""Trouble: killed, full, slow, racing.  Nothing is accepted that is not whole; nothing referenced is gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from pathlib import Path

import aiohttp
import pytest

from corten.registry.collect import Collector
from corten.registry.config import CollectOptions, Options
from corten.registry.repositories import Repositories
from corten.registry.storage.files import Files, FileUpload
from corten.spec import media_types
from corten.spec.digest import Digest
from rig.registry import Registry
from rig.serving import Session, make_image, scenario, serving, session

IMAGE = make_image(size=300_000)
NOW = CollectOptions(grace=0.0, uploads_after=0.0)


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def age(folder: Path, seconds: float) -> None:
    """Make everything look so old."""
    then = time.time() - seconds
    for path in files_in(folder):
        os.utime(path, (then, then))


async def is_whole(asked: Session, name: str, reference: str) -> bool:
    """Whether an image can be pulled, every byte of it."""
    answer = await asked.ask("GET", f"/v2/{name}/manifests/{reference}")
    if answer.status != 200:
        return False
    body = answer.json
    for blob in [body["config"], *body["layers"]]:
        got = await asked.ask("GET", f"/v2/{name}/blobs/{blob['digest']}")
        if got.status != 200 or str(Digest.of(got.body)) != blob["digest"]:
            return False
    return True


@scenario
async def test_broken_upload_goes_on_where_it_broke(tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    async with serving(tmp_path) as served, session(served) as asked:
        place = (await asked.ask("POST", "/v2/a/blobs/uploads/")).headers["Location"]
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        head = f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data[: 2 << 20])
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.transport.abort()
        status = await asked.ask("GET", place)
        assert status.status == 204
        offset = int(status.headers["Range"].partition("-")[2]) + 1
        assert 0 < offset <= 2 << 20
        rest = await asked.ask("PATCH", place, data[offset:], {"Content-Range": f"{offset}-{len(data) - 1}"})
        assert rest.status == 202
        assert (await asked.ask("PUT", f"{place}?digest={Digest.of(data)}")).status == 201
        assert (await asked.ask("GET", f"/v2/a/blobs/{Digest.of(data)}")).body == data


@scenario
async def test_broken_single_post_leaves_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        path = f"/v2/a/blobs/uploads/?digest={Digest.of(b'x')}"
        writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n".encode() + b"x" * (1 << 20))
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.transport.abort()
        for _ in range(50):
            if not list((tmp_path / "uploads").iterdir()):
                break
            await asyncio.sleep(0.05)
        assert not files_in(tmp_path / "uploads")


@pytest.mark.parametrize("lie", ["short", "long"])
@scenario
async def test_content_range_that_lies_about_the_length(tmp_path: Path, lie: str) -> None:
    async with serving(tmp_path) as served, session(served) as asked:
        place = (await asked.ask("POST", "/v2/a/blobs/uploads/")).headers["Location"]
        told = "0-4" if lie == "short" else "0-99"
        answer = await asked.ask("PATCH", place, b"0123456789", {"Content-Range": told})
        assert (answer.status, answer.code) == (400, "SIZE_INVALID")


@pytest.mark.parametrize("how", ["PATCH", "PUT", "POST"])
@scenario
async def test_full_disk_is_told_and_leaves_nothing(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        if offset >= 1 << 20:
            raise OSError(28, "No space left on device")
        return real(fd, data[: (1 << 20) - offset], offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    data = os.urandom(4 << 20)
    async with serving(tmp_path) as served, session(served) as asked:
        if how == "POST":
            answer = await asked.ask("POST", f"/v2/a/blobs/uploads/?digest={Digest.of(data)}", data)
        else:
            place = (await asked.ask("POST", "/v2/a/blobs/uploads/")).headers["Location"]
            query = f"?digest={Digest.of(data)}" if how == "PUT" else ""
            answer = await asked.ask(how, place + query, data)
        assert answer.status == 507
        assert sum(path.stat().st_size for path in files_in(tmp_path / "uploads")) == 0
        assert not files_in(tmp_path / "blobs")
        monkeypatch.undo()
        await asked.push_blob("a", data)  # there is room again


@scenario
async def test_full_disk_while_a_manifest_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path) as served, session(served) as asked:
        for data in IMAGE.blobs.values():
            await asked.push_blob("a", data)

        def sync(self: Files, file: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Files, "sync", sync)
        assert (await asked.push_manifest("a", IMAGE.manifest, IMAGE.media_type, "v1")).status == 507
        monkeypatch.undo()
        assert (await asked.ask("GET", "/v2/a/manifests/v1")).status == 404
        assert not files_in(tmp_path / "temporary")
        assert (await asked.push_manifest("a", IMAGE.manifest, IMAGE.media_type, "v1")).status == 201


@scenario
async def test_failing_disk_is_an_internal_error_without_details(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as served, session(served) as asked:

        def commit(self: FileUpload, key: str) -> None:
            raise OSError(5, "Input/output error", "/secret/path")

        monkeypatch.setattr(FileUpload, "_commit", commit)
        place = (await asked.ask("POST", "/v2/a/blobs/uploads/")).headers["Location"]
        answer = await asked.ask("PUT", f"{place}?digest={Digest.of(b'x')}", b"x")
        assert answer.status == 500
        assert b"secret" not in answer.body


@scenario
async def test_concurrent_pushes_of_one_tag(tmp_path: Path) -> None:
    images = [make_image(seed=seed, size=20_000) for seed in range(4)]
    async with serving(tmp_path) as served, session(served) as asked:
        stop = asyncio.Event()

        async def read() -> int:
            whole = 0
            while not stop.is_set():
                if (await asked.ask("GET", "/v2/a/manifests/latest")).status == 200:
                    assert await is_whole(asked, "a", "latest")
                    whole += 1
            return whole

        reading = asyncio.create_task(read())
        for _ in range(3):
            await asyncio.gather(*(asked.push_image("a", image) for image in images))
        stop.set()
        assert await reading > 0
        final = await asked.ask("GET", "/v2/a/manifests/latest")
        assert final.body in [image.manifest for image in images]


@scenario
async def test_concurrent_uploads_of_one_blob(tmp_path: Path) -> None:
    data = os.urandom(1 << 20)
    async with serving(tmp_path) as served, session(served) as asked:
        await asyncio.gather(*(asked.push_blob(name, data) for name in ("a", "a", "b", "b", "c")))
        assert len(files_in(tmp_path / "blobs")) == 1
        for name in ("a", "b", "c"):
            assert (await asked.ask("GET", f"/v2/{name}/blobs/{Digest.of(data)}")).body == data


@scenario
async def test_one_upload_has_one_writer(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, session(served) as asked:
        place = (await asked.ask("POST", "/v2/a/blobs/uploads/")).headers["Location"]
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345".encode())
        await writer.drain()
        await asyncio.sleep(0.1)
        assert (await asked.ask("PATCH", place, b"other")).status == 409
        writer.transport.abort()
        assert (await asked.ask("PATCH", place, b"67890")).status == 202  # as soon as the first is gone


@scenario
async def test_upload_belongs_to_its_repository(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, session(served) as asked:
        place = (await asked.ask("POST", "/v2/a/blobs/uploads/")).headers["Location"]
        stolen = place.replace("/v2/a/", "/v2/b/")
        assert (await asked.ask("PUT", f"{stolen}?digest={Digest.of(b'x')}", b"x")).status == 404
        assert (await asked.ask("GET", "/v2/a/blobs/uploads/..%2f..%2fblobs")).status == 404


@scenario
async def test_clients_that_send_nothing_are_let_go(tmp_path: Path) -> None:
    options = Options(header_timeout=0.3, stall_timeout=0.3)
    async with serving(tmp_path, options) as served, session(served) as asked:
        silent = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(20)]
        silent[0][1].write(b"GET /v2/ HTTP/1.1\r\nHo")
        place = (await asked.ask("POST", "/v2/a/blobs/uploads/")).headers["Location"]
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc".encode())
        answer = await reader.read(4096)
        assert b"408" in answer.partition(b"\r\n")[0]
        for quiet, _ in silent:
            assert await asyncio.wait_for(quiet.read(), 10) == b""
        assert (await asked.ask("GET", "/v2/")).status == 200
        for _, each in [*silent, (reader, writer)]:
            each.close()


def test_killed_in_mid_push() -> None:
    """SIGKILL at many moments of a push: afterwards every tag there is whole, and pushing works."""
    registry = Registry()
    image = make_image(size=400_000, layers=3)

    async def push_and_kill(delay: float) -> None:
        async with aiohttp.ClientSession() as http:
            asked = Session(_Address(registry), http)  # type: ignore[arg-type]

            async def push() -> None:
                with contextlib.suppress(aiohttp.ClientError, AssertionError, OSError):
                    await asked.push_image("a", image, "latest")

            pushing = asyncio.create_task(push())
            await asyncio.sleep(delay)
            registry.kill()
            await pushing

    async def check() -> None:
        async with aiohttp.ClientSession() as http:
            asked = Session(_Address(registry), http)  # type: ignore[arg-type]
            if (await asked.ask("GET", "/v2/a/manifests/latest")).status == 200:
                assert await is_whole(asked, "a", "latest")
            await asked.push_image("b", image, "again")
            assert await is_whole(asked, "b", "again")

    try:
        registry.start()
        for delay in (0.003, 0.01, 0.02, 0.04):
            asyncio.run(push_and_kill(delay))
            registry.start()
            asyncio.run(check())
    finally:
        registry.remove()


class _Address:
    def __init__(self, registry: Registry) -> None:
        self.url = f"http://{registry.address}"


# -- collection


@scenario
async def test_collect_removes_what_nothing_needs_and_no_more(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, session(served) as asked:
        await asked.push_image("a", IMAGE, "keep")
        other = make_image(seed=2)
        await asked.push_image("a", other, "drop")
        stray = await asked.push_blob("b", b"stray")
        await asked.ask("POST", "/v2/c/blobs/uploads/")
        await asked.ask("DELETE", f"/v2/a/manifests/{other.digest}")
        age(tmp_path, 10)
        collector = Collector(Repositories(Files(tmp_path)), NOW)
        planned = await collector.collect(dry_run=True)
        assert (await asked.ask("HEAD", f"/v2/b/blobs/{stray}")).status == 200
        age(tmp_path, 10)  # asking for a blob keeps it a while
        done = await collector.collect()
        # other's two layers and config in a, stray in b; its manifest's bytes as well
        assert (done.links, done.blobs, done.uploads) == (4, 5, 1)
        assert planned == done
        assert await is_whole(asked, "a", "keep")
        assert (await asked.ask("HEAD", f"/v2/b/blobs/{stray}")).status == 404
        assert (await asked.ask("GET", "/v2/_catalog")).json["repositories"] == ["a"]
        again = await collector.collect()
        assert (again.links, again.blobs) == (0, 0)


@scenario
async def test_collect_waits_for_manifests_that_may_come(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, session(served) as asked:
        for data in IMAGE.blobs.values():
            await asked.push_blob("a", data)
        collector = Collector(Repositories(Files(tmp_path)), CollectOptions(grace=1000.0))
        await collector.collect()
        age(tmp_path, 2000)
        layer = IMAGE.parsed.layers[0].digest
        assert (await asked.ask("HEAD", f"/v2/a/blobs/{layer}")).status == 200  # a client that now relies on it
        await collector.collect()
        assert (await asked.ask("HEAD", f"/v2/a/blobs/{layer}")).status == 200
        assert (await asked.ask("HEAD", f"/v2/a/blobs/{IMAGE.parsed.layers[1].digest}")).status == 404
        refused = await asked.push_manifest("a", IMAGE.manifest, IMAGE.media_type, "v1")
        assert refused.code == "MANIFEST_BLOB_UNKNOWN"


@scenario
async def test_collect_untagged(tmp_path: Path) -> None:
    """A tag, an index and a living subject keep a manifest; nothing else does."""
    plain, part, left, tagged = (make_image(seed=seed) for seed in range(10, 14))
    async with serving(tmp_path) as served, session(served) as asked:
        for image in (plain, part, left):
            await asked.push_image("a", image, None)
        await asked.push_image("a", tagged, "v1")
        entries = [{"mediaType": part.media_type, "digest": str(part.digest), "size": len(part.manifest)}]
        index = json.dumps({"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": entries}).encode()
        assert (await asked.push_manifest("a", index, media_types.OCI_INDEX, "many")).status == 201
        signature = make_image(seed=14, layers=0, subject=_pointer(tagged.manifest))
        orphan = make_image(seed=15, layers=0, subject=_pointer(plain.manifest))
        for image in (signature, orphan):
            await asked.push_image("a", image, None)
        age(tmp_path, 100)
        options = CollectOptions(grace=0.0, untagged_after=10.0)
        planned = await Collector(Repositories(Files(tmp_path)), options).collect(dry_run=True)
        assert (planned.manifests, planned.links > 0, planned.blobs > planned.links) == (3, True, True)
        done = await Collector(Repositories(Files(tmp_path)), options).collect()
        assert done == planned
        for kept in (part, tagged, signature):
            assert await is_whole(asked, "a", str(kept.digest))
        for gone in (plain, left, orphan):
            assert (await asked.ask("GET", f"/v2/a/manifests/{gone.digest}")).status == 404


def _pointer(manifest: bytes) -> dict[str, object]:
    return {"mediaType": media_types.OCI_MANIFEST, "digest": str(Digest.of(manifest)), "size": len(manifest)}


@scenario
async def test_collect_during_pushes(tmp_path: Path) -> None:
    """With no grace at all, a push may be refused, but an accepted one is whole."""
    async with serving(tmp_path) as served, session(served) as asked:
        collector = Collector(Repositories(Files(tmp_path)), CollectOptions(grace=0.0))
        stop = asyncio.Event()

        async def collect() -> None:
            while not stop.is_set():
                await collector.collect()
                await asyncio.sleep(0)

        collecting = asyncio.create_task(collect())
        accepted = refused = 0
        for seed in range(25):
            image = make_image(seed=seed, size=3000)
            try:
                await asked.push_image("a", image, f"t{seed}")
                accepted += 1
                assert await is_whole(asked, "a", f"t{seed}")
            except AssertionError as error:
                assert "MANIFEST_BLOB_UNKNOWN" in str(error) or "404" in str(error), error
                refused += 1
        stop.set()
        await collecting
        tags = (await asked.ask("GET", "/v2/a/tags/list")).json.get("tags", [])
        for tag in tags:
            assert await is_whole(asked, "a", tag)
