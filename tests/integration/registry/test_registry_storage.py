"""Files and S3 keep the same promises (suites/registry_storage.py), and stateless processes serve one bucket."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from corten.errors import Conflict, Invalid, Unavailable
from corten.registry import main
from corten.registry.collect import Collector
from corten.registry.config import CollectOptions, Options, S3Options
from corten.registry.repositories import Repositories
from corten.registry.storage.bucket import Bucket
from corten.registry.storage.cells import Gate
from corten.registry.storage.files import Files
from corten.registry.storage.s3 import S3
from corten.spec.digest import Digest
from rig.objects import ObjectStore
from rig.registry import Registry
from rig.serving import make_image, scenario, serving, session
from suites.registry_storage import MakeDriver, Storage


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    store = ObjectStore()
    yield store
    store.stop()


class TestFiles(Storage):
    @pytest.fixture
    def make_driver(self, tmp_path: Path) -> MakeDriver:
        return lambda: Files(tmp_path, sync=False)


class TestS3(Storage):
    @pytest.fixture
    def make_driver(self, store: ObjectStore) -> MakeDriver:
        options = store.options()
        return lambda: S3(options)

    @scenario
    async def test_killed_writer_is_waited_for_and_no_longer(self, store: ObjectStore) -> None:
        options = store.options(lease=3.0)
        killed, other = S3(options), S3(options)
        upload = await killed.create_upload("u")
        await upload.append(b"x" * (9 << 20))  # a piece of eight megabytes is safe, the rest is lost with the process
        with pytest.raises(Conflict):
            await other.open_upload("u")
        for _ in range(100):
            await asyncio.sleep(0.1)
            try:
                taken = await other.open_upload("u")
                break
            except Conflict:
                continue
        assert taken is not None and taken.offset == 8 << 20
        with pytest.raises(Conflict):  # the first was not dead after all: it must not write on
            await upload.close()
        await taken.append(b"y")
        await taken.commit("blobs/sha256/aa/x")
        found = await other.stat("blobs/sha256/aa/x")
        assert found is not None and found.size == (8 << 20) + 1
        await killed.close()
        await other.close()

    @scenario
    async def test_killed_holders_of_the_lock_are_waited_for_and_no_longer(self, store: ObjectStore) -> None:
        options = store.options(lease=3.0)
        bucket = Bucket(options)
        await bucket.put("locks/shared/killed", b"{}")
        await bucket.put("locks/exclusive", b'{"holder": "killed", "turn": "1", "value": null}')
        async with asyncio.timeout(30):
            async with Gate(bucket, 3.0).shared():
                pass
            async with Gate(bucket, 3.0).exclusive():
                pass
        assert await bucket.listing("locks/shared/") == []
        await bucket.close()

    @scenario
    async def test_store_that_is_away_is_told(self) -> None:
        driver = S3(S3Options("none", endpoint="http://127.0.0.1:9", region="us-east-1"))
        with pytest.raises(Unavailable, match="object storage does not answer"):
            await driver.check()
        await driver.close()


@scenario
async def test_bucket_that_is_not_there_is_told(store: ObjectStore, tmp_path: Path) -> None:
    driver = S3(S3Options("nowhere", endpoint=store.endpoint))
    async with serving(tmp_path, Options(root="x"), driver=driver) as served, session(served) as asked:
        health = await asked.ask("GET", "/health")
        assert health.status == 503 and "NoSuchBucket" in health.json["storage"]
        assert (await asked.ask("GET", "/v2/a/tags/list")).status == 503


@scenario
async def test_collection_in_a_bucket(store: ObjectStore, tmp_path: Path) -> None:
    driver = S3(store.options())
    async with serving(tmp_path, driver=driver) as served, session(served) as asked:
        kept, dropped = make_image(seed=1, size=90_000), make_image(seed=2, size=90_000)
        await asked.push_image("a/b", kept, "keep")
        await asked.push_image("a/b", dropped, "drop")
        await asked.ask("DELETE", f"/v2/a/b/manifests/{dropped.digest}")
        collector = Collector(Repositories(driver), CollectOptions(grace=0.5))
        assert (await collector.collect()).blobs == 0  # too young
        await asyncio.sleep(3)
        done = await collector.collect()
        assert (done.links, done.blobs) == (3, 4)
        for digest, data in kept.blobs.items():
            assert (await asked.ask("GET", f"/v2/a/b/blobs/{digest}")).body == data
        gone = dropped.parsed.layers[0].digest
        assert (await asked.ask("GET", f"/v2/a/b/blobs/{gone}")).code == "BLOB_UNKNOWN"


def test_stateless_processes_serve_one_bucket(store: ObjectStore, tmp_path: Path) -> None:
    """Chunks of one upload go to two registries in turn; what one took, the other gives; one may be killed."""
    (tmp_path / "c.toml").write_text(store.toml(store.options(lease=3.0)))
    registries = [Registry("--config", str(tmp_path / "c.toml")) for _ in range(2)]

    async def story() -> None:
        data = os.urandom(10_000_000)
        bases = [f"http://{registry.address}" for registry in registries]
        async with aiohttp.ClientSession() as http:
            async with http.post(f"{bases[0]}/v2/team/app/blobs/uploads/") as began:
                place = began.headers["Location"]
            for turn, first in enumerate(range(0, len(data), 2_500_000)):
                async with http.patch(f"{bases[turn % 2]}{place}", data=data[first : first + 2_500_000]) as done:
                    assert done.status == 202, await done.text()
            registries[0].kill()
            async with http.put(f"{bases[1]}{place}?digest={Digest.of(data)}") as done:
                assert done.status == 201, await done.text()
            registries[0].start()
            for base in bases:
                async with http.get(f"{base}/v2/team/app/blobs/{Digest.of(data)}") as got:
                    assert await got.read() == data
                async with http.get(f"{base}/v2/team/app/blobs/{Digest.of(b'no')}") as got:
                    assert got.status == 404

    try:
        for registry in registries:
            registry.start()
        asyncio.run(story())
        assert list((registries[0].root).iterdir()) == [registries[0].root / "log"]  # nothing is kept here
    finally:
        for registry in registries:
            registry.remove()


def test_without_the_extra_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'aiobotocore'")

    monkeypatch.setattr(main.importlib, "import_module", missing)
    with pytest.raises(Invalid, match=r"corten\[s3\]"):
        main.make_driver(Options(s3=S3Options("b")))
