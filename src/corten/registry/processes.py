"""The further processes that serve one socket with us: started, started again when they die, and counted together.

Owns: Workers (in the first process), and Tally (in each), which sums the metrics of all through files in a directory
that lives as long as the first process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from corten.registry.metrics import Metrics

_log = logging.getLogger(__name__)
_SOCKET = "CORTEN_REGISTRY_SOCKET"
_TALLY = "CORTEN_REGISTRY_TALLY"
_LOOK_EVERY = 0.2
_QUICK_DEATH = 2.0  # a process that dies so soon is started again only after a pause
_PAUSE = 2.0
_WRITE_EVERY = 1.0


class Workers:
    """Processes with our own arguments on our listening socket."""

    def __init__(self, sock: socket.socket, count: int) -> None:
        self._sock = sock
        self._count = count
        self._started: dict[int, float] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="corten-registry-tally-")) if count else None

    @contextmanager
    def running(self) -> Iterator[Workers]:
        """All of them, until the end of the block."""
        if self._folder is not None:
            os.environ[_TALLY] = str(self._folder)
        try:
            for _ in range(self._count):
                self._spawn()
            yield self
        finally:
            for pid in self._started:
                os.kill(pid, signal.SIGTERM)
            for pid in self._started:
                os.waitpid(pid, 0)
            os.environ.pop(_TALLY, None)
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    async def tend(self) -> None:
        """Start again whichever dies, until cancelled."""
        while self._count:
            await asyncio.sleep(_LOOK_EVERY)
            for pid, started in list(self._started.items()):
                gone, status = os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - it does not wait
                if not gone:
                    continue
                del self._started[pid]
                _log.error("process %d ended (%s); another is started", pid, os.waitstatus_to_exitcode(status))
                if time.monotonic() - started < _QUICK_DEATH:
                    await asyncio.sleep(_PAUSE)
                self._spawn()

    def _spawn(self) -> None:
        os.set_inheritable(self._sock.fileno(), True)
        environment = os.environ | {_SOCKET: f"{self._sock.fileno()} {os.getpid()}"}
        command = [sys.executable, "-m", "corten.registry", *sys.argv[1:]]
        self._started[os.posix_spawn(sys.executable, command, environment)] = time.monotonic()


def inherited() -> tuple[socket.socket, int] | None:
    """In one of the further processes: the listening socket, and the first process, which may be gone already."""
    told = os.environ.get(_SOCKET)
    if told is None:
        return None
    number, parent = told.split()
    return socket.socket(fileno=int(number)), int(parent)


def sweep(parent: int) -> None:
    """What a first process that was killed could not remove, one of the others does."""
    folder = os.environ.get(_TALLY)
    if folder and os.getppid() != parent:
        shutil.rmtree(folder, ignore_errors=True)


class Tally:
    """The metrics of all processes.  What others count is seen a second later; what the dead counted stays."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        folder = os.environ.get(_TALLY)
        self._folder = Path(folder) if folder else None

    async def run(self) -> None:
        """Write ours down from time to time, until cancelled."""
        while self._folder is not None:
            self._write(self._folder)
            await asyncio.sleep(_WRITE_EVERY)

    def to_text(self) -> str:
        """The sums, for Prometheus."""
        if self._folder is None:
            return self._metrics.to_text()
        self._write(self._folder)
        total = Metrics()
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(OSError, ValueError):
                total.add(json.loads(path.read_text()), alive=Path(f"/proc/{path.stem}").exists())
        return total.to_text()

    def _write(self, folder: Path) -> None:
        fresh = folder / f"{os.getpid()}.new"
        with contextlib.suppress(OSError):
            fresh.write_text(json.dumps(self._metrics.to_json()))
            fresh.rename(folder / f"{os.getpid()}.json")
