"""One container that has been created: a connection to its shim and what we know of its processes.

A task never owns the container: when the daemon ends, the shim does not notice.  Made by service.py and recover.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from corten.errors import Conflict, NotFound
from corten.kernel import wire
from corten.runtime.cgroup import Group, Hierarchies
from corten.runtime.protocol import (
    ANNOUNCED_EXEC_VERSION,
    ATTACHING_EXEC_VERSION,
    FDS,
    LATER_FDS,
    NETWORK_FDS,
    StepFailure,
)
from corten.supervisor import closing
from corten.supervisor.channel import Channel, translate
from corten.supervisor.model import RUNTIME_STEP, Client, ExitRecord, StartFailure
from corten.supervisor.recover import bury

_STREAM_BUFFER = 256 * 1024
_hierarchies = functools.cache(Hierarchies.discover)


class ShimLost(StartFailure):
    """The shim, or the zygote before it forked one, ended without a word."""


class Task:
    """Operations on one container.  Descriptors of it are closed when it has ended."""

    def __init__(self, bundle: Path, sock: socket.socket, keep: Callable[[int], None] | None = None) -> None:
        """``keep`` is given the descriptor on which the shim takes its next request, if it may have a next life."""
        self.bundle = bundle
        self._keep = keep
        self.id = bundle.name
        self.pid = 0
        self.started_at: float | None = None
        self.status = "creating"  # creating, created, running, paused, stopped
        self.on_oom: Callable[[], None] | None = None
        self.execs: dict[str, dict[str, Any]] = {}  # as recovery found them: {"pid", "started_at", "record", "note"}
        self._fds: dict[str, int] = {}
        self._cgroup = ""
        self._start_number = 0
        self._version = 1
        self._exits: dict[str | None, asyncio.Future[ExitRecord]] = {}
        self._created: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._networked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gone = asyncio.Event()
        self._burial: asyncio.Task[None] | None = None
        self._closing: asyncio.Future[None] | None = None
        self._channel = Channel(sock, self._on_event, self._on_close)

    # -- what the shim tells -----------------------------------------------------------------------------------

    def _on_event(self, message: wire.Message) -> None:
        event, body = message.body.get("event"), message.body
        if event == "network":
            self._fds = {name: message.take(index) for index, name in enumerate(NETWORK_FDS)}
            self._tell_networked()
        elif event == "created":
            self._take(message, FDS if message.fd_count == len(FDS) else LATER_FDS)
            self._tell_networked()
            if not self._created.done():
                self._created.set_result(None)
        elif event == "failed":
            if not self._created.done():
                self._created.set_exception(start_failure(StepFailure.parse(body), "create"))
        elif event == "exited":
            self._ended(body.get("exec_id"), ExitRecord.parse(body))
        elif event == "oom" and self.on_oom:
            self.on_oom()
        elif event == "waiting" and self._keep:
            self._keep(message.take())

    def _take(self, message: wire.Message, names: tuple[str, ...]) -> None:
        body = message.body
        self.pid = int(body["pid"])
        self.status = str(body["status"])
        self.started_at = body.get("started_at")
        self._cgroup = str(body["cgroup"])
        self._version = int(body.get("version") or 1)
        for index, name in enumerate(names):
            if name in self._fds:
                os.close(self._fds[name])
            self._fds[name] = message.take(index)

    def _tell_networked(self) -> None:
        if not self._networked.done():
            self._networked.set_result(None)

    def _ended(self, exec_id: str | None, record: ExitRecord) -> None:
        if exec_id is None:
            self.status = "stopped"
            self._close_fds()
        future = self._exit_of(exec_id)
        if not future.done():
            future.set_result(record)

    def _exit_of(self, exec_id: str | None) -> asyncio.Future[ExitRecord]:
        future = self._exits.get(exec_id)
        if future is None:
            future = self._exits[exec_id] = asyncio.get_running_loop().create_future()
        return future

    def _on_close(self) -> None:
        if not self._created.done():
            self._created.set_exception(ShimLost("create", 0, "the container's shim ended unexpectedly"))
            self._created.exception()  # retrieved: nobody may be waiting
        self._burial = asyncio.get_running_loop().create_task(self._bury())

    async def _bury(self) -> None:
        """The shim is gone.  Usually it has told us everything; a killed one leaves that to us."""
        try:
            if not self._exit_of(None).done() and self.started_at is not None:
                self._ended(None, await asyncio.to_thread(bury, self.bundle))
            if not self._exit_of(None).done():
                await asyncio.to_thread(bury, self.bundle)
                self._ended(None, ExitRecord(0, 0.0, error="the container was never started"))
            main = self._exit_of(None).result()
            for exec_id, future in self._exits.items():
                if not future.done() and exec_id is not None:
                    future.set_result(ExitRecord(137, main.finished_at, signal=9, error="the container has ended"))
        finally:
            self._close_fds()
            self._gone.set()

    def _close_fds(self) -> None:
        fds, self._fds = self._fds, {}
        if "root" in fds:
            self._closing = closing.close(fds.pop("root"))
        for fd in fds.values():
            os.close(fd)

    # -- making ------------------------------------------------------------------------------------------------

    async def created(self) -> None:
        """Until init waits for start; raises StartFailure."""
        await self._created

    async def greet(self) -> None:
        """For a task that was there before us: learn what it is."""
        with await self._channel.request("hello") as message:
            self._take(message, ("pidfd", "netns", "root"))
            self.execs = message.body.get("execs") or {}
        self._created.set_result(None)
        for exec_id, known in self.execs.items():
            if known.get("record"):
                self._ended(exec_id, ExitRecord.parse(known["record"]))
            else:
                self._exit_of(exec_id)

    async def networked(self) -> None:
        """Until there is a network namespace, which may be before ``created``; raises StartFailure."""
        await asyncio.wait((self._networked, self._created), return_when=asyncio.FIRST_COMPLETED)
        if not self._networked.done():
            await self._created

    def expect_start(self) -> int:
        """A number that tells whoever makes us to start at once; then ``start`` only waits."""
        self._start_number = self._channel.expect()
        return self._start_number

    async def start(self) -> None:
        """Let init execute the container's process; raises StartFailure."""
        number, channel = self._start_number, self._channel
        try:
            with await (channel.answer(number, "start") if number else channel.request("start")) as message:
                self.started_at = message.body.get("started_at")
                if self.status == "created":
                    self.status = "running"
        except StepFailure as failure:
            raise start_failure(failure, "create") from None

    def announce_exec(self, exec_id: str, process: dict[str, Any], *, tty: bool, stdin: bool) -> None:
        """Let the shim prepare for an exec that is likely to come at once."""
        if self._version >= ANNOUNCED_EXEC_VERSION:
            self._channel.tell("announce", exec_id=exec_id, process={**process, "terminal": tty}, stdin=stdin)

    async def exec(
        self,
        exec_id: str,
        process: dict[str, Any],
        *,
        tty: bool,
        stdin: bool,
        note: Any = None,
        client: Client | None = None,
        stream: socket.socket | None = None,
    ) -> int:
        """Start a further process; its pid as the host numbers it.  Raises StartFailure.

        ``stream``, the far end of a ``stream_pair``, is for a client from the first byte on.  ``note`` is kept by the
        shim, and found again in ``execs`` by a daemon that comes after us.
        """
        self._exit_of(exec_id)
        fds = [stream.fileno()] if client and stream else []
        body: dict[str, Any] = {"process": {**process, "terminal": tty}, "stdin": stdin, "note": note}
        try:
            if client and self._version < ATTACHING_EXEC_VERSION:
                (await self._channel.request("attach", fds, exec_id=exec_id, **client.to_json())).close()
                fds = []
            elif client:
                body["client"] = client.to_json()
            with await self._channel.request("exec", fds, exec_id=exec_id, **body) as message:
                return int(message.body["pid"])
        except StepFailure as failure:
            raise start_failure(failure, "exec") from None

    # -- streams -----------------------------------------------------------------------------------------------

    async def attach(self, *, exec_id: str | None = None, stdin: bool, stdout: bool, stderr: bool) -> socket.socket:
        """A stream: output framed as Docker does (raw for a terminal), writes are stdin, SHUT_WR is its end.

        Output starts at this moment and is complete until the process's end, where the stream ends too.
        """
        ours, theirs = stream_pair()
        try:
            wants = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
            await self._ask("attach", [theirs.fileno()], exec_id=exec_id, **wants)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    async def resize(self, height: int, width: int, *, exec_id: str | None = None) -> None:
        """Set the terminal's size."""
        await self._ask("resize", height=height, width=width, exec_id=exec_id)

    # -- life --------------------------------------------------------------------------------------------------

    async def wait(self, exec_id: str | None = None) -> ExitRecord:
        """Return when the process has ended.  NotFound for an exec nobody knows."""
        if exec_id is not None and exec_id not in self._exits:
            raise NotFound(f"No such exec instance: {exec_id}")
        return await asyncio.shield(self._exit_of(exec_id))

    async def signal(self, signum: int, *, exec_id: str | None = None) -> None:
        """Send a signal; Conflict when the process has ended."""
        await self._ask("signal", signum=int(signum), exec_id=exec_id)

    async def pause(self) -> None:
        """Freeze every process."""
        await self._ask("pause")
        self.status = "paused"

    async def resume(self) -> None:
        """Thaw."""
        await self._ask("resume")
        self.status = "running"

    async def update(self, resources: dict[str, Any]) -> None:
        """Apply OCI ``linux.resources``."""
        await self._ask("update", resources=resources)

    async def stats(self) -> dict[str, Any]:
        """See ``model.Stats``.  Read by ourselves: no shim need wake for it, and a stuck one is no obstacle."""
        return await asyncio.to_thread(self._group().stats)

    async def pids(self) -> list[int]:
        """The container's processes, as the host numbers them."""
        return await asyncio.to_thread(self._group().pids)

    def _group(self) -> Group:
        if self.status not in ("created", "running", "paused"):
            raise Conflict(f"container {self.id} is not running")
        return _hierarchies().group(self._cgroup)

    async def _ask(self, op: str, fds: list[int] | None = None, **body: Any) -> dict[str, Any]:
        try:
            with await self._channel.request(op, fds or [], **body) as message:
                return message.body
        except StepFailure as failure:
            raise translate(failure) from None

    # -- namespaces --------------------------------------------------------------------------------------------

    def _dup(self, name: str) -> int:
        fd = self._fds.get(name)
        if fd is None:
            raise Conflict(f"container {self.id} is not running")
        return os.dup(fd)

    def netns_fd(self) -> int:
        """An owned descriptor of the container's network namespace; the caller closes it."""
        return self._dup("netns")

    def root_fd(self) -> int:
        """An owned O_PATH descriptor of the root as the container sees it; for kernel.paths.Root(fd)."""
        return self._dup("root")

    def pidfd(self) -> int:
        """An owned pidfd of init."""
        return self._dup("pidfd")

    async def netlink(self) -> socket.socket:
        """A NETLINK_ROUTE socket in the container's network namespace.  It holds the namespace: close it."""
        fd = self._fds.pop("netlink", None)
        if fd is not None:
            return socket.socket(fileno=fd)
        return await self.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)

    async def socket(
        self,
        family: int,
        kind: int,
        protocol: int = 0,
        *,
        bind: tuple[str, int] | None = None,
        listen: int | None = None,
    ) -> socket.socket:
        """Any socket made inside the container's network namespace, non-blocking (the embedded resolver's, for one)."""
        body: dict[str, Any] = {
            "family": int(family),
            "kind": int(kind),
            "protocol": protocol,
            "bind": bind,
            "listen": listen,
        }
        try:
            with await self._channel.request("socket", **body) as message:
                made = socket.socket(fileno=message.take())
        except StepFailure as failure:
            raise translate(failure) from None
        made.setblocking(False)
        return made

    # -- end ---------------------------------------------------------------------------------------------------

    async def delete(self) -> None:
        """Forget a stopped task; one that was never started is destroyed.  Conflict while it runs.

        The shim closes its connection itself: it may have a last word to say.
        """
        if self.status == "created":
            with contextlib.suppress(StepFailure):
                (await self._channel.request("delete")).close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), 10)
        elif self.status in ("running", "paused"):
            raise Conflict(f"container {self.id} is running")
        if self.status != "stopped":
            await self.release()

    async def unmounted(self) -> None:
        """Return when a stopped task holds its root no more: only then may another mount what lies beneath."""
        if self._closing is not None:
            await asyncio.shield(self._closing)

    @property
    def is_gone(self) -> bool:
        """Whether the shim has gone and everything it left is known."""
        return self._gone.is_set()

    async def release(self) -> None:
        """Close our side; a running container does not notice."""
        if self._burial:
            await self._burial  # or it would take what is made in this bundle next for what it came to bury
        self._channel.let_go()
        self._close_fds()
        await self.unmounted()
        self._gone.set()


def stream_pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a new stream: the daemon's, and the one for the shim to attach."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _STREAM_BUFFER)
    ours.setblocking(False)
    return ours, theirs


def start_failure(failure: StepFailure, verb: str) -> StartFailure:
    """Docker's words around ours."""
    if failure.step == "find user":
        return StartFailure(failure.step, failure.errno, failure.message)
    if failure.step == RUNTIME_STEP:
        told = f"{failure.message}: unknown"  # it has its own words for the rest
    else:
        told = f"unable to start container process: {failure.message}: unknown"
        told = f"exec failed: {told}" if verb == "exec" else told
    if verb == "exec":
        return StartFailure(failure.step, failure.errno, f"OCI runtime exec failed: {told}")
    prefix = "failed to create task for container: failed to create shim task: OCI runtime create failed: "
    return StartFailure(failure.step, failure.errno, f"{prefix}{told}")
