"""What the engine calls: ``Supervisor`` makes tasks from bundles and finds them again after a restart.

For the operations on one container read ``task.py``; for logs, ``logs.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from corten.errors import CortenError, Unavailable
from corten.kernel import wire
from corten.runtime.bundle import Bundle
from corten.runtime.protocol import StepFailure
from corten.supervisor.model import Client, ExitRecord
from corten.supervisor.recover import bury, connect, is_started
from corten.supervisor.task import ShimLost, Task, stream_pair
from corten.supervisor.zygote import ZygoteProcess

__all__ = ["ShimLost", "Supervisor", "Task"]

_ABANDON_SECONDS = 10.0
_CREATE_SECONDS = 120.0  # a volume on a server that does not answer must not hold a request for ever


class Supervisor:
    """One for each daemon.  ``cgroup_parent`` serves specs that name no ``linux.cgroupsPath``."""

    def __init__(self, exec_root: Path, *, cgroup_parent: str = "/corten") -> None:
        self.exec_root = exec_root
        self.cgroup_parent = cgroup_parent
        self._zygote = ZygoteProcess(exec_root)
        self._tasks: set[Task] = set()

    async def open(self) -> None:
        """Start the zygote."""
        await self._zygote.open()

    @property
    def zygote_pid(self) -> int:
        """For diagnosis and tests."""
        return self._zygote.pid

    async def close(self) -> None:
        """Close the daemon's side; containers run on."""
        for task in list(self._tasks):
            await task.release()
        self._tasks.clear()
        await self._zygote.close()

    async def create(self, bundle: Path) -> Task:
        """Shim and init in their namespaces and control groups, waiting for start.  Raises StartFailure."""
        for _ in range(2):
            try:
                return await self._create(bundle)
            except ShimLost:
                continue  # the zygote died with our request in its hands, or somebody shot the shim
        return await self._create(bundle)

    async def _create(self, bundle: Path) -> Task:
        Bundle(str(bundle)).forget()
        ours, theirs = wire.pair()
        task = Task(bundle, ours, self._zygote.keep)
        try:
            body = {"op": "spawn", "bundle": str(bundle), "cgroup_parent": self.cgroup_parent}
            await self._zygote.spawn(body, [theirs.fileno()])
        except BaseException:
            await task.release()
            raise
        finally:
            theirs.close()
        try:
            async with asyncio.timeout(_CREATE_SECONDS):
                await task.created()
        except TimeoutError:
            await task.release()
            raise Unavailable("the container's file systems could not be set up in time") from None
        except BaseException:
            # Without us the shim destroys what it has made so far.
            await task.release()
            raise
        self._keep(task)
        return task

    async def launch(
        self,
        bundle: Path,
        clients: Sequence[Client] = (),
        connect: Callable[[Task], Awaitable[None]] | None = None,
    ) -> tuple[Task, list[socket.socket]]:
        """Create and start in one go; the running task, and a stream for each client from the first byte on.

        ``connect`` is called as soon as there is a network namespace, while the rest is being made, and is done before
        the start.  Raises StartFailure and what ``connect`` raises, ShimLost if all of it may be tried again.
        """
        Bundle(str(bundle)).forget()
        ours, theirs = wire.pair()
        task = Task(bundle, ours, self._zygote.keep)
        pairs = [stream_pair() for _ in clients]
        streams = [pair[0] for pair in pairs]
        body = {
            "op": "spawn",
            "bundle": str(bundle),
            "cgroup_parent": self.cgroup_parent,
            "clients": [client.to_json() for client in clients],
            "connect": connect is not None,
            "start": 0 if connect else task.expect_start(),
        }
        try:
            try:
                await self._zygote.spawn(body, [theirs.fileno(), *(pair[1].fileno() for pair in pairs)])
            finally:
                theirs.close()
                for pair in pairs:
                    pair[1].close()
            await self._launched(task, connect)
        except BaseException:
            for stream in streams:
                stream.close()
            await _abandon(task)
            raise
        self._keep(task)
        return task, streams

    async def _launched(self, task: Task, connect: Callable[[Task], Awaitable[None]] | None) -> None:
        try:
            async with asyncio.timeout(_CREATE_SECONDS):
                if connect is not None:
                    await task.networked()
                    try:
                        await connect(task)
                    except (CortenError, OSError):
                        await task.created()  # if that has failed too, it is the reason
                        raise
                    starting = asyncio.ensure_future(task.start())
                    try:
                        await task.created()
                    except BaseException:
                        starting.cancel()
                        await asyncio.gather(starting, return_exceptions=True)
                        raise
                else:
                    await task.created()
                    starting = asyncio.ensure_future(task.start())
        except TimeoutError:
            raise Unavailable("the container's file systems could not be set up in time") from None
        await starting

    def _keep(self, task: Task) -> None:
        self._tasks = {each for each in self._tasks if not each.is_gone}
        self._tasks.add(task)

    async def recover(self, bundle: Path) -> Task | ExitRecord | None:
        """After a restart: the living task, how it ended, or None if it was never started."""
        sock = await asyncio.to_thread(connect, bundle)
        if sock is not None:
            task = Task(bundle, sock)
            try:
                await task.greet()
            except StepFailure:
                await task.release()  # it ended just now
            else:
                self._keep(task)
                return task
        known = Bundle(str(bundle)).exit_record()
        if known is not None:
            return ExitRecord.parse(known)
        started = is_started(bundle)
        record = await asyncio.to_thread(bury, bundle)
        return record if started else None


async def _abandon(task: Task) -> None:
    """Leave nothing of a launch that has failed."""
    with contextlib.suppress(CortenError, OSError, TimeoutError):
        async with asyncio.timeout(_ABANDON_SECONDS):
            await task.created()
            await task.delete()
            return
    # Without us the shim destroys what it has made so far.
    await task.release()
