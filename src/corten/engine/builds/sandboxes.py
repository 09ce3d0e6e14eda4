"""The networks of a build's steps: made with the first step, used again by the next.

Owns: network namespaces that outlive the step they were made with, and their endpoint.  Knows nothing of what a step
runs; how a container reads NetworkMode is in engine/containers/networking.py.

A namespace costs more to make than a step to run, so a step takes a free one of its build and network by its
descriptor; steps that run at the same time have one each, as in Docker.  Nothing of it is on disk: with the daemon the
descriptors go, with them the namespaces and their links, and network/service.py releases the addresses at start.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from corten.engine.containers import etc, networking
from corten.engine.containers.bundle import write_etc
from corten.engine.containers.ground import Ground
from corten.engine.containers.model import Container
from corten.errors import CortenError
from corten.network.model import Endpoint
from corten.supervisor.service import Task

HOST, NONE = "host", "none"


@dataclass(slots=True)
class Sandbox:
    """A network namespace that waits for its next step, or is being made with its first."""

    id: str
    network: str
    netns_fd: int = -1
    endpoint: Endpoint | None = None

    @property
    def is_new(self) -> bool:
        """It has no namespace yet."""
        return self.netns_fd < 0


@dataclass(slots=True)
class Lent:
    """What a step gets: its files of /etc and the path of a namespace to join, if there is one."""

    etc_dir: Path
    netns_path: str | None = None
    sandbox: Sandbox | None = None


class Sandboxes:
    """The networks of one build."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._free: list[Sandbox] = []
        self._all: list[Sandbox] = []

    @asynccontextmanager
    async def lend(self, record: Container, etc_dir: Path) -> AsyncIterator[Lent]:
        """A network for one step.  A step that fails does not give it back for the next."""
        etc_dir.mkdir()
        shared = networking.shared_with(self._ground, record, "NetworkMode")
        if shared is not None or record.network_mode == HOST:
            self._write(record, etc_dir, None)
            yield Lent(etc_dir, f"/proc/{shared.running_task().pid}/ns/net" if shared else None)
            return
        sandbox = self._take(record)
        self._write(record, etc_dir, sandbox.endpoint)
        yield Lent(etc_dir, None if sandbox.is_new else f"/proc/{os.getpid()}/fd/{sandbox.netns_fd}", sandbox)
        if not sandbox.is_new:
            self._free.append(sandbox)

    async def join(self, record: Container, lent: Lent, task: Task) -> None:
        """Between a task's create and its start: plug in a namespace that was made with it."""
        sandbox = lent.sandbox
        if sandbox is None or not sandbox.is_new:
            return
        if sandbox.network != NONE:
            settings = networking.endpoint_spec(self._ground, record, sandbox.network, {})
            inside = networking.TaskSandbox(record.id, task)
            sandbox.endpoint = await self._ground.networking.connect(sandbox.network, sandbox.id, inside, settings)
            self._write(record, lent.etc_dir, sandbox.endpoint)
        sandbox.netns_fd = task.netns_fd()

    async def close(self) -> None:
        """Give up every namespace and its addresses."""
        for sandbox in self._all:
            if not sandbox.is_new:
                os.close(sandbox.netns_fd)
                sandbox.netns_fd = -1
            if sandbox.network != NONE:
                with contextlib.suppress(CortenError, OSError):
                    await self._ground.networking.release(sandbox.id)
        self._all.clear()
        self._free.clear()

    def _take(self, record: Container) -> Sandbox:
        for sandbox in self._free:
            if sandbox.network == record.network_mode:
                self._free.remove(sandbox)
                return sandbox
        made = Sandbox(record.id, record.network_mode)
        self._all.append(made)
        return made

    def _write(self, record: Container, etc_dir: Path, endpoint: Endpoint | None) -> None:
        write_etc(etc_dir, etc.etc_files(self._ground, record, [endpoint] if endpoint else []))
