"""RUN steps: a process on an active snapshot, straight on the supervisor.

Owns: the bundle of a step, its streams, its end, and what is left when the build is cancelled: nothing.  No container
record is kept, no log is written, nothing is synced.  For the spec read spec.py; for networks read sandboxes.py.

    <exec root>/steps/<container id>/     config.json rootfs.json shim.json etc/, gone when the build has ended; what is
                                          found at start is a killed daemon's, and ``sweep`` ends that step
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from corten.api import framing
from corten.build.ports import RunRequest
from corten.engine.builds import spec
from corten.engine.builds.sandboxes import Lent, Sandboxes
from corten.engine.containers import bundle as bundles
from corten.engine.containers import networking
from corten.engine.containers.ground import Ground
from corten.engine.containers.model import Container
from corten.errors import CortenError
from corten.supervisor.model import ShimOptions
from corten.supervisor.service import Supervisor, Task

READ_SIZE = 256 << 10

# docker: the classic builder shows what goes to stderr in red, terminal or not.
_RED, _PLAIN = b"\x1b[91m", b"\x1b[0m"


class StepExecutor:
    """The Executor port of the builder, for one build: its networks live as long as it does."""

    def __init__(self, ground: Ground, steps: Path, *, colours: bool = True) -> None:
        self._ground = ground
        self._colours = colours
        self._steps = steps
        self._bundles: list[Path] = []
        self._sandboxes = Sandboxes(ground)

    async def close(self) -> None:
        """Give back the networks, remove the bundles: once, for a step need not wait for it."""
        bundles, self._bundles = self._bundles, []
        await asyncio.to_thread(_remove, bundles)
        await self._sandboxes.close()

    async def run(self, request: RunRequest, output: Callable[[bytes], None]) -> int:
        """Run the process to its end; its exit status."""
        record = spec.record(request, self._ground.settings.defaults)
        bundle = self._steps / request.container_id
        bundle.mkdir(mode=0o700)
        self._bundles.append(bundle)
        async with self._sandboxes.lend(record, bundle / "etc") as lent:
            self._lay_out(request, record, bundle, lent)
            return await self._run(record, bundle, lent, output)

    def _lay_out(self, request: RunRequest, record: Container, bundle: Path, lent: Lent) -> None:
        parent = self._ground.settings.cgroup_parent
        world = spec.surroundings(lent.etc_dir, networking.hostname(record), lent.netns_path, parent)
        body = spec.step_spec(record, request.mounts, world)
        bundles.write(bundle, body, self._ground.snapshots.mounts(request.key), ShimOptions())

    async def _run(self, record: Container, bundle: Path, lent: Lent, output: Callable[[bytes], None]) -> int:
        task = await self._ground.supervisor.create(bundle)
        has_ended = False
        try:
            await self._sandboxes.join(record, lent, task)
            with await task.attach(stdin=False, stdout=True, stderr=True) as stream:
                await task.start()
                await _pump(stream, output, colours=self._colours)
            ending = await task.wait()
            has_ended = True
            return ending.status
        finally:
            await asyncio.shield(_end(task, has_ended=has_ended))


async def _pump(stream: socket.socket, output: Callable[[bytes], None], *, colours: bool) -> None:
    """Hand on what the process says until it has nothing more to say; the classic builder shows stderr in red."""
    loop = asyncio.get_running_loop()
    decoder = framing.Decoder()
    while data := await loop.sock_recv(stream, READ_SIZE):
        for frame in decoder.feed(data):
            is_red = colours and frame.stream == framing.STDERR
            output(_RED + frame.data + _PLAIN if is_red else frame.data)


async def _end(task: Task, *, has_ended: bool) -> None:
    """Kill what still runs and forget the task; one that was not started is destroyed by forgetting it."""
    if not has_ended and task.status != "created":
        with contextlib.suppress(CortenError, OSError):
            await task.signal(signal.SIGKILL)
            await task.wait()
    with contextlib.suppress(CortenError, OSError):
        await task.delete()


async def sweep(supervisor: Supervisor, steps: Path) -> None:
    """At start: end the steps that a killed daemon left behind."""
    steps.mkdir(mode=0o700, parents=True, exist_ok=True)
    for bundle in sorted(steps.iterdir()):
        with contextlib.suppress(CortenError, OSError):
            found = await supervisor.recover(bundle)
            if isinstance(found, Task):
                await _end(found, has_ended=False)
        shutil.rmtree(bundle, ignore_errors=True)


def _remove(bundles: list[Path]) -> None:
    for bundle in bundles:
        shutil.rmtree(bundle, ignore_errors=True)
