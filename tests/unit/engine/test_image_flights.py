"""Several who pull the same thing share one run."""

from __future__ import annotations

import asyncio

import pytest

from corten.engine.images.flights import Flights, Progress
from corten.errors import NotFound


class Heard:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def update(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        self.lines.append(f"{id} {status}" + (f" {current}/{total}" if current is not None else ""))

    def message(self, status: str, id: str | None = None) -> None:
        self.lines.append(status)


def test_the_second_joins_and_hears_where_things_stand() -> None:
    async def scenario() -> None:
        flights, go, runs = Flights(), asyncio.Event(), 0

        async def work(progress: Progress) -> None:
            nonlocal runs
            runs += 1
            progress.message("Pulling from x")
            progress.update("a", "Downloading", 1, 2)
            progress.update("a", "Downloading", 2, 2)
            await go.wait()
            progress.message("done")

        first, second = Heard(), Heard()
        one = asyncio.create_task(flights.run("x", work, first))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        two = asyncio.create_task(flights.run("x", work, second))
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(one, two)
        assert runs == 1
        assert first.lines == ["Pulling from x", "a Downloading 1/2", "a Downloading 2/2", "done"]
        assert second.lines == ["Pulling from x", "a Downloading 2/2", "done"]
        await flights.run("x", work, Heard())
        assert runs == 2

    asyncio.run(scenario())


def test_the_run_goes_on_while_one_listens_and_ends_with_the_last() -> None:
    async def scenario() -> None:
        flights, ended = Flights(), asyncio.Event()

        async def work(progress: Progress) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        one, two = (asyncio.create_task(flights.run("x", work, Heard())) for _ in range(2))
        await asyncio.sleep(0.01)
        one.cancel()
        await asyncio.wait({one})
        assert not ended.is_set()
        two.cancel()
        await asyncio.wait({two})
        assert ended.is_set()

    asyncio.run(scenario())


def test_all_hear_of_the_failure() -> None:
    async def scenario() -> None:
        flights = Flights()

        async def work(progress: Progress) -> None:
            await asyncio.sleep(0.01)
            raise NotFound("manifest unknown")

        results = await asyncio.gather(*(flights.run("x", work, Heard()) for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [NotFound] * 3
        with pytest.raises(NotFound):
            await flights.run("x", work, Heard())

    asyncio.run(scenario())
