"""Starting the zygote, asking it, and starting it again when it dies.

The interpreter is executed from a sealed copy in memory: a process inside a container can reach its exec's interpreter
through /proc/PID/exe (CVE-2019-5736), and must find nothing there that can be written.  No site packages, no
environment, an explicit path to our own sources.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import corten
from corten.errors import Unavailable
from corten.kernel import files, wire

_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from corten.runtime.zygote import main; main(int(sys.argv[2]))"
_START_SECONDS = 20.0
_FILL_SECONDS = 0.04
"""A shim is raised in the place of one that has been taken when this has passed, unless one has come back by then."""
_REST_SECONDS = 2.0
_KEPT = 8


class ZygoteProcess:
    """The fork server as the daemon sees it."""

    def __init__(self, exec_root: Path) -> None:
        self._exec_root = exec_root
        self._interpreter_fd = -1
        self._socket: socket.socket | None = None
        self._waiting: list[tuple[socket.socket, float]] = []  # and since when
        self._has_asked = True  # for one more to be raised; the zygote begins with one
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = asyncio.Lock()

    @property
    def pid(self) -> int:
        """For diagnosis and tests; 0 when it does not run."""
        return self._process.pid if self._process else 0

    async def open(self) -> None:
        """Start it, unless it runs."""
        async with self._starting:
            if self._socket is None:
                await self._start()

    async def _start(self) -> None:
        ours = self._launch()
        ours.setblocking(False)
        self._socket = ours
        try:
            ready = await asyncio.wait_for(self._first_message(ours), _START_SECONDS)
        except TimeoutError:
            ready = None
        if ready is None:
            self._forget()
            raise Unavailable(f"the runtime did not start; see {self._exec_root / 'runtime.log'}")
        asyncio.get_running_loop().add_reader(ours, self._on_readable)

    def _launch(self) -> socket.socket:
        """Execute it; our end of its socket."""
        self._reap()
        executable = getattr(sys, "_base_executable", "") or sys.executable
        if self._interpreter_fd < 0:
            self._interpreter_fd = files.sealed_copy(executable, "corten-python")
        ours, theirs = wire.pair()
        source = str(Path(corten.__file__).parent.parent)
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        if sysconfig.get_config_var("Py_ENABLE_SHARED"):
            # A library path relative to the executable means nothing for a memory file.
            environment["LD_LIBRARY_PATH"] = str(sysconfig.get_config_var("LIBDIR") or "")
        self._exec_root.mkdir(parents=True, exist_ok=True)
        with open(self._exec_root / "runtime.log", "ab") as log:
            self._process = subprocess.Popen(
                # The name tells the interpreter where its library is; what runs is the sealed copy.
                [executable, "-I", "-S", "-c", _BOOT, source, str(theirs.fileno())],
                executable=f"/proc/self/fd/{self._interpreter_fd}",
                pass_fds=(theirs.fileno(), self._interpreter_fd),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
                cwd="/",
            )
        theirs.close()
        return ours

    async def _first_message(self, sock: socket.socket) -> wire.Message | None:
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        loop.add_reader(sock, arrived.set)
        try:
            await arrived.wait()
        finally:
            loop.remove_reader(sock)
        return wire.receive(sock)

    def _on_readable(self) -> None:
        """A shim waits for a request; or this is the zygote's end, and the next request starts another."""
        if self._socket:
            with contextlib.suppress(BlockingIOError):
                message = wire.receive(self._socket)
                if message is None:
                    self._forget()
                    return
                with message:
                    self._has_asked = False
                    self.keep(message.take())

    def keep(self, fd: int) -> None:
        """A shim waits for a request: one that is fresh, or one whose container has ended."""
        self._waiting.append((socket.socket(fileno=fd), time.monotonic()))
        if len(self._waiting) > _KEPT:
            self._waiting.pop(0)[0].close()
        elif len(self._waiting) > 1:
            asyncio.get_running_loop().call_later(_REST_SECONDS, self._thin_out)

    def _thin_out(self) -> None:
        """After a burst, one shim is enough."""
        before = time.monotonic() - _REST_SECONDS
        while len(self._waiting) > 1 and self._waiting[0][1] <= before:
            self._waiting.pop(0)[0].close()

    def _forget(self) -> None:
        while self._waiting:
            self._waiting.pop()[0].close()
        self._has_asked = True
        sock, self._socket = self._socket, None
        if sock:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        self._reap()

    def _reap(self) -> None:
        if self._process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=0)
                self._process = None

    async def spawn(self, body: dict[str, Any], fds: Sequence[int]) -> None:
        """Have a shim made for a request, or give it to the one that waits."""
        asyncio.get_running_loop().call_later(_FILL_SECONDS, self._fill)
        while self._waiting:
            # The last to come: what it needs is still in the processor's caches.
            with self._waiting.pop()[0] as waiting, contextlib.suppress(OSError):  # somebody may have killed it
                wire.send(waiting, body, fds)
                return
        await self.ask(body, fds)

    def _fill(self) -> None:
        if self._socket and not self._waiting and not self._has_asked:
            with contextlib.suppress(OSError):
                wire.send(self._socket, {"op": "fill"})
                self._has_asked = True

    async def ask(self, body: dict[str, Any], fds: Sequence[int]) -> None:
        """Send one request; the answer comes over the descriptor in it."""
        for _ in range(2):
            await self.open()
            assert self._socket is not None
            try:
                wire.send(self._socket, body, fds)
                return
            except BlockingIOError:
                await asyncio.sleep(0.005)  # a burst of starts has filled the socket
            except OSError:
                self._forget()
        await self.open()
        assert self._socket is not None
        try:
            wire.send(self._socket, body, fds)
        except OSError as failure:
            raise Unavailable(f"the runtime does not answer: {failure}") from failure

    async def close(self) -> None:
        """Let it end; the shims stay."""
        process = self._process
        self._forget()
        if process and process.poll() is None:
            try:
                await asyncio.wait_for(asyncio.to_thread(process.wait), 5)
            except TimeoutError:
                process.kill()
        self._process = None
        if self._interpreter_fd >= 0:
            os.close(self._interpreter_fd)
            self._interpreter_fd = -1
