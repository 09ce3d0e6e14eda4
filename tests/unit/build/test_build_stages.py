"""Stages side by side: at the same time, in order on paper, stopped together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from corten.build.failures import StepFailed
from corten.build.output import Outputs
from corten.build.ports import RunRequest
from corten.build.request import BuildRequest
from fakes.build import Kitchen, Recorder

pytestmark = pytest.mark.root


@pytest.fixture
def kitchen(tmp_path: Path) -> Kitchen:
    (tmp_path / "kitchen").mkdir()
    return Kitchen(tmp_path / "kitchen")


class Meeting:
    """Everybody waits until all are here."""

    def __init__(self, parties: int) -> None:
        self.barrier = asyncio.Barrier(parties)

    async def run(self, request: RunRequest, output: Callable[[bytes], None]) -> int:
        await self.barrier.wait()
        output(f"{request.args[-1]}\n".encode())
        return 0


def replace_executor(kitchen: Kitchen, executor: object) -> None:
    object.__setattr__(kitchen.builder._ports, "executor", executor)


def test_independent_stages_run_at_the_same_time(kitchen: Kitchen) -> None:
    dockerfile = "FROM busybox AS a\nRUN one\nFROM busybox AS b\nRUN two\nFROM busybox\n"
    dockerfile += "COPY --from=a /etc /a\nCOPY --from=b /etc /b\n"

    async def scenario() -> str:
        replace_executor(kitchen, Meeting(2))
        recorder = Recorder()
        async with asyncio.timeout(5):
            await kitchen.builder.build(BuildRequest(dockerfile), recorder)
        return recorder.text

    text = asyncio.run(scenario())
    assert text.index("\none\n") < text.index("Step 3/7") < text.index("\ntwo\n")


def test_a_failure_stops_the_others_and_is_heard(kitchen: Kitchen) -> None:
    ended: list[str] = []

    class Mixed:
        async def run(self, request: RunRequest, output: Callable[[bytes], None]) -> int:
            if request.args[-1] == "bad":
                output(b"the reason\n")
                return 3
            try:
                await asyncio.sleep(60)
            finally:
                ended.append(request.args[-1])
            return 0

    replace_executor(kitchen, Mixed())
    recorder = Recorder()
    dockerfile = "FROM busybox AS a\nRUN slow\nFROM busybox AS b\nRUN bad\nFROM b\nCOPY --from=a /etc /a\n"
    with pytest.raises(StepFailed) as caught:
        asyncio.run(kitchen.builder.build(BuildRequest(dockerfile), recorder))
    assert caught.value.status == 3
    assert ended == ["slow"]
    assert "the reason\n" in recorder.text
    assert not [name for name in kitchen.snapshots.names if name.startswith("build-")]


def test_cancelling_leaves_nothing(kitchen: Kitchen) -> None:
    started = asyncio.Event()

    class Slow:
        async def run(self, request: RunRequest, output: Callable[[bytes], None]) -> int:
            started.set()
            await asyncio.sleep(60)
            return 0

    async def scenario() -> None:
        replace_executor(kitchen, Slow())
        lines = "FROM busybox\nRUN --mount=type=cache,target=/c,sharing=locked x\n"
        task = asyncio.create_task(kitchen.builder.build(BuildRequest(lines), Recorder()))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):  # the lock is free again
            replace_executor(kitchen, kitchen.executor)
            await kitchen.builder.build(BuildRequest(lines.replace(" x", " true")), Recorder())

    asyncio.run(scenario())
    assert os.listdir(kitchen.scratch) == []
    assert not [name for name in kitchen.snapshots.names if name.startswith("build-")]


def test_output_waits_its_turn() -> None:
    recorder = Recorder()
    outputs = Outputs(recorder, (1, 4, 6))
    outputs[6].stream("c")
    outputs[4].stream("b")
    outputs[1].stream("a")
    assert recorder.text == "a"
    outputs.finish(4)
    assert recorder.text == "a"
    outputs.finish(1)
    assert recorder.text == "abc"
    outputs[6].stream("d")
    assert recorder.text == "abcd"
