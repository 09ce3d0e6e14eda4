"""What every storage driver of the registry promises (registry/storage/base.py).  A test file derives from Storage."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest

from corten.errors import Conflict
from corten.registry.storage.base import Driver, Upload
from rig.serving import scenario

MakeDriver = Callable[[], Driver]
MEGABYTE = 1 << 20


async def everything(upload: Upload) -> bytes:
    return b"".join([data async for data in upload.chunks()])


async def content(driver: Driver, key: str, first: int = 0, size: int = 1 << 40) -> bytes:
    found = await driver.stat(key)
    assert found is not None
    return b"".join([data async for data in driver.stream(key, first, min(size, found.size - first))])


async def raise_conflict(driver: Driver, upload_id: str) -> None:
    with pytest.raises(Conflict):
        await driver.open_upload(upload_id)


class Storage:
    """``make_driver`` is a fixture: each driver that it makes stands for another process on one store."""

    @scenario
    async def test_records(self, make_driver: MakeDriver) -> None:
        one, two = make_driver(), make_driver()
        assert await one.read("repositories/a/tags/x") is None
        assert await one.stat("repositories/a/tags/x") is None
        assert not await one.touch("repositories/a/tags/x")
        assert not await one.delete("repositories/a/tags/x")
        await one.write("repositories/a/tags/x", b"1")
        assert await two.read("repositories/a/tags/x") == b"1"
        await two.write("repositories/a/tags/x", b"two")
        assert await one.read("repositories/a/tags/x") == b"two"
        found = await one.stat("repositories/a/tags/x")
        assert found is not None and found.size == 3
        assert await one.delete("repositories/a/tags/x")
        assert await two.read("repositories/a/tags/x") is None
        await one.close()
        await two.close()

    @scenario
    async def test_children_are_sorted_by_their_bytes(self, make_driver: MakeDriver) -> None:
        driver = make_driver()
        for name in ("b", "a", "a-", "a/deep", "B", "ab"):
            await driver.write(f"repositories/r!{name.partition('/')[0]}/tags/{name.replace('/', '-')}", b"x")
        assert await driver.children("repositories") == ["r!B", "r!a", "r!a-", "r!ab", "r!b"]
        assert await driver.children("repositories/r!a/tags") == ["a", "a-deep"]
        assert await driver.children("repositories/none") == []
        await driver.delete("repositories/r!b/tags/b")
        await driver.prune("repositories/r!b")
        assert "r!b" not in await driver.children("repositories")
        await driver.close()

    @scenario
    async def test_two_writers_leave_one_of_two_values(self, make_driver: MakeDriver) -> None:
        drivers = make_driver(), make_driver()
        values = [bytes([65 + n]) * 5000 for n in range(8)]
        await asyncio.gather(*(drivers[n % 2].write("repositories/x", value) for n, value in enumerate(values)))
        assert await drivers[0].read("repositories/x") in values
        for driver in drivers:
            await driver.close()

    @pytest.mark.parametrize("size", [0, 1, 70_000, 9 * MEGABYTE, 21 * MEGABYTE])
    @scenario
    async def test_upload(self, make_driver: MakeDriver, size: int) -> None:
        driver = make_driver()
        data = os.urandom(size)
        upload = await driver.create_upload("u1")
        for first in range(0, size, MEGABYTE):
            await upload.append(data[first : first + MEGABYTE])
        assert upload.offset == size
        assert await everything(upload) == data
        assert await driver.stat("blobs/sha256/aa/b") is None
        await upload.commit("blobs/sha256/aa/b")
        await upload.close()
        assert await content(driver, "blobs/sha256/aa/b") == data
        if size > 100:
            assert await content(driver, "blobs/sha256/aa/b", 50, 40) == data[50:90]
        assert await driver.open_upload("u1") is None and await driver.uploads() == []
        await driver.close()

    @pytest.mark.parametrize("chunk", [1_000_000, 3 * MEGABYTE, 9 * MEGABYTE + 1])
    @scenario
    async def test_upload_goes_on_in_other_processes(self, make_driver: MakeDriver, chunk: int) -> None:
        drivers = make_driver(), make_driver()
        data = os.urandom(4 * chunk)
        await (await drivers[0].create_upload("u2")).close()
        for turn in range(4):
            upload = await drivers[turn % 2].open_upload("u2")
            assert upload is not None and upload.offset == turn * chunk
            await upload.append(data[upload.offset : upload.offset + chunk])
            await upload.close()
        assert [name for name, _ in await drivers[0].uploads()] == ["u2"]
        upload = await drivers[1].open_upload("u2")
        assert upload is not None and await everything(upload) == data
        await upload.commit("blobs/sha256/aa/c")
        assert await content(drivers[0], "blobs/sha256/aa/c") == data
        for driver in drivers:
            await driver.close()

    @scenario
    async def test_one_writer_at_a_time(self, make_driver: MakeDriver) -> None:
        one, two = make_driver(), make_driver()
        upload = await one.create_upload("u3")
        await upload.append(b"abc")
        await raise_conflict(one, "u3")
        await raise_conflict(two, "u3")
        await upload.close()
        again = await two.open_upload("u3")
        assert again is not None and again.offset == 3
        await again.abort()
        await again.close()
        assert await one.open_upload("u3") is None
        for driver in (one, two):
            await driver.close()

    @pytest.mark.parametrize("offset", [0, 5, MEGABYTE, 12 * MEGABYTE, 17 * MEGABYTE])
    @scenario
    async def test_truncated_upload(self, make_driver: MakeDriver, offset: int) -> None:
        driver = make_driver()
        data = os.urandom(17 * MEGABYTE)
        upload = await driver.create_upload("u4")
        for first in range(0, len(data), 3 * MEGABYTE):
            await upload.append(data[first : first + 3 * MEGABYTE])
        await upload.truncate(offset)
        assert upload.offset == offset
        await upload.append(b"end")
        await upload.commit("blobs/sha256/aa/d")
        assert await content(driver, "blobs/sha256/aa/d") == data[:offset] + b"end"
        await driver.close()

    @pytest.mark.parametrize("size", [10, 200_000])
    @scenario
    async def test_touched_things_are_young(self, make_driver: MakeDriver, size: int) -> None:
        driver = make_driver()
        upload = await driver.create_upload("u5")
        await upload.append(b"x" * size)
        await upload.commit("blobs/sha256/aa/e")
        first = await driver.stat("blobs/sha256/aa/e")
        await asyncio.sleep(2.1)  # the times of some stores are whole seconds
        assert await driver.touch("blobs/sha256/aa/e")
        second = await driver.stat("blobs/sha256/aa/e")
        assert first is not None and second is not None
        assert second.size == size and second.modified > first.modified + 1
        assert await driver.delete("blobs/sha256/aa/e")
        assert await driver.stat("blobs/sha256/aa/e") is None
        await driver.close()

    @scenario
    async def test_exclusive_excludes(self, make_driver: MakeDriver) -> None:
        """No one is in with an exclusive holder, in any process; those who share are in together."""
        drivers = [make_driver() for _ in range(3)]
        inside: list[str] = []
        together = 0

        async def share(driver: Driver) -> None:
            nonlocal together
            for _ in range(3):
                async with driver.shared():
                    assert "alone" not in inside
                    inside.append("shared")
                    together = max(together, len(inside))
                    await asyncio.sleep(0.02)
                    assert "alone" not in inside
                    inside.remove("shared")

        async def exclude(driver: Driver) -> None:
            for _ in range(2):
                async with driver.exclusive():
                    assert inside == []
                    inside.append("alone")
                    await asyncio.sleep(0.02)
                    inside.remove("alone")

        workers = [share(driver) for driver in drivers for _ in range(3)] + [exclude(driver) for driver in drivers[:2]]
        await asyncio.wait_for(asyncio.gather(*workers), 60)
        assert together > 1
        for driver in drivers:
            await driver.close()

    @scenario
    async def test_health(self, make_driver: MakeDriver) -> None:
        driver = make_driver()
        await driver.check()
        assert await driver.children("health") == []
        await driver.close()
