"""``docker exec``: created, started once, inspected, forgotten with its container.

Owns: the records of execs and the words in which a failed start is told.  Processes outlive the daemon, as Docker's do
not; the shim keeps a note of each started one, by which the daemon that comes next knows it again.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from corten.api.types import fields
from corten.api.types.containers import EXEC_CONFIG
from corten.engine import detach, names
from corten.engine.attachment import Attachment
from corten.engine.containers import lower
from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Live
from corten.engine.containers.status import Status
from corten.errors import Conflict, CortenError, Invalid, NotFound
from corten.supervisor.model import Client, StartFailure
from corten.supervisor.service import Task
from corten.supervisor.task import stream_pair

# Ended execs are kept for `inspect`; without a bound a health check from outside would fill the memory.
KEPT = 1000


@dataclass(slots=True)
class Exec:
    """A further process."""

    id: str
    live: Live
    config: dict[str, Any]
    process: dict[str, Any]  # OCI's; empty once it was started before our time
    is_running: bool = False
    was_started: bool = False
    exit_code: int | None = None
    pid: int = 0
    size: tuple[int, int] | None = None
    resized: asyncio.Event = field(default_factory=asyncio.Event)


class ExecService:
    """All execs of this daemon."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._execs: dict[str, Exec] = {}
        self._ended: deque[Exec] = deque()

    def recover(self) -> None:
        """Know again, after a daemon restart, what was started: what runs is watched, what ended can be asked."""
        for live in self._ground.roster:
            for exec_id, known in (live.task.execs if live.task else {}).items():
                if known.get("note"):
                    self._recover(live, exec_id, known)

    def _recover(self, live: Live, exec_id: str, known: Mapping[str, Any]) -> None:
        item = Exec(exec_id, live, fields.read(known["note"], EXEC_CONFIG, "ExecConfig"), {}, was_started=True)
        item.pid = int(known["pid"])
        self._execs[exec_id] = item
        if record := known.get("record"):
            item.exit_code = int(record["status"])
            self._end(item)
        else:
            item.is_running = True
            live.exec_ids.add(exec_id)
            assert live.task is not None
            self._ground.background.start(self._watch(item, live.task), f"exec {exec_id[:12]}")

    def create(self, container: str, body: Mapping[str, Any]) -> str:
        """Make an exec of a running container; returns its id."""
        live = self._ground.roster.find(container)
        config = fields.read(body, EXEC_CONFIG, "ExecConfig")
        if not config["Cmd"]:
            raise Invalid("No exec command specified")
        detach.parse(config["DetachKeys"])
        for item in config["Env"] or ():
            if not item or item.startswith("="):
                raise Invalid(f"invalid environment variable: {item}")
        self._check(live)
        made = Exec(names.new_id(), live, config, _process(live, config))
        self._execs[made.id] = made
        live.exec_ids.add(made.id)
        self._publish(made, f"exec_create: {_words(made)}")
        return made.id

    def announce(self, exec_id: str) -> None:
        """An exec that was just created is likely to be started at once: let its process be prepared."""
        item = self._execs.get(exec_id)
        if item is not None and not item.was_started and item.live.task is not None:
            config = item.config
            tty, stdin = bool(config["Tty"]), bool(config["AttachStdin"])
            item.live.task.announce_exec(item.id, item.process, tty=tty, stdin=stdin)

    def _check(self, live: Live) -> None:
        status = live.record.state.status
        if status is Status.PAUSED:
            raise Conflict(f"container {live.record.id} is paused, unpause the container before exec")
        if status is Status.RESTARTING:
            raise Conflict(f"Container {live.record.id} is restarting, wait until the container is running")
        if not live.record.is_running:
            raise Conflict(f"container {live.record.id} is not running")

    def _end(self, item: Exec) -> None:
        """docker: an exec that has ended is no longer told with its container, but can still be asked for."""
        item.is_running = False
        item.live.exec_ids.discard(item.id)
        self._ended.append(item)
        if len(self._ended) > KEPT:
            self.drop(self._ended.popleft())

    def drop(self, item: Exec) -> None:
        """Forget an exec."""
        self._execs.pop(item.id, None)
        item.live.exec_ids.discard(item.id)

    def find(self, exec_id: str) -> Exec:
        """By id or an unambiguous beginning; raises NotFound in dockerd's words."""
        found = self._execs.get(exec_id)
        if found is None:
            matches = names.by_prefix(exec_id, self._execs)
            found = self._execs[matches[0]] if len(matches) == 1 else None
        if found is None or not self._ground.roster.holds(found.live):
            raise NotFound(f"No such exec instance: {exec_id}")
        return found

    def inspect(self, exec_id: str) -> dict[str, Any]:
        """All about an exec."""
        item = self.find(exec_id)
        config = item.config
        return {
            "ID": item.id,
            "Running": item.is_running,
            "ExitCode": item.exit_code,
            "ProcessConfig": {
                "tty": config["Tty"],
                "entrypoint": config["Cmd"][0],
                "arguments": config["Cmd"][1:],
                "privileged": config["Privileged"],
                "user": config["User"],
            },
            "OpenStdin": config["AttachStdin"],
            "OpenStderr": config["AttachStderr"],
            "OpenStdout": config["AttachStdout"],
            "CanRemove": False,
            "ContainerID": item.live.record.id,
            "DetachKeys": config["DetachKeys"],
            "Pid": item.pid,
        }

    def check_start(self, exec_id: str) -> Exec:
        """The exec if it may be started now; raises Conflict otherwise."""
        item = self.find(exec_id)
        if item.was_started:
            if item.is_running:
                raise Conflict(f"exec command {item.id} is already running")
            raise Conflict(f"Error: Exec command {item.id} has already run")
        self._check(item.live)
        return item

    async def start(self, exec_id: str, body: Mapping[str, Any]) -> Attachment | None:
        """Start an exec; detached it runs when this returns, else when the attachment is connected.

        docker: the streams are opened before the process, and a failed start is told in the stream.
        """
        item = self.check_start(exec_id)
        item.was_started = item.is_running = True
        size = body.get("ConsoleSize") or item.config["ConsoleSize"]
        if body.get("Detach"):
            await self._run(item, size, None)
            return None
        stream, theirs = stream_pair()

        async def connect() -> socket.socket:
            with theirs:
                await self._run(item, size, theirs)
            return stream

        is_raw = bool(item.config["Tty"])
        return Attachment(
            is_raw,
            connect,
            stream,
            detach.parse(item.config["DetachKeys"]) if is_raw and item.config["AttachStdin"] else None,
            wants_raw=bool(body.get("Tty")),
            on_detach=lambda: self._publish(item, "exec_detach"),
        )

    async def _run(self, item: Exec, size: list[int] | None, stream: socket.socket | None) -> None:
        try:
            await self._execute(item, item.live.running_task(), size, stream)
        except BaseException as error:
            self._end(item)
            is_told = isinstance(error, StartFailure) and error.step != "find user"
            item.exit_code = error.exit_code if is_told else 126  # type: ignore[attr-defined]
            if isinstance(error, StartFailure):
                raise _told(error) from error
            raise

    async def _execute(self, item: Exec, task: Task, size: list[int] | None, stream: socket.socket | None) -> None:
        config, process = item.config, dict(item.process)
        if size and len(size) == 2 and any(size):
            process["consoleSize"] = {"height": size[0], "width": size[1]}
        client = Client(*(bool(config[f"Attach{name}"]) for name in ("Stdin", "Stdout", "Stderr"))) if stream else None
        tty, stdin, note = bool(config["Tty"]), bool(config["AttachStdin"]), {**config, "Env": None}
        item.pid = await task.exec(item.id, process, tty=tty, stdin=stdin, note=note, client=client, stream=stream)
        self._publish(item, f"exec_start: {_words(item)}")
        self._ground.background.start(self._watch(item, task), f"exec {item.id[:12]}")

    async def _watch(self, item: Exec, task: Task) -> None:
        try:
            ended = await task.wait(item.id)
            item.exit_code = ended.status
        except CortenError:
            item.exit_code = 137  # the container was killed, and its shim with it
        self._end(item)
        self._publish(item, "exec_die", exitCode=str(item.exit_code))

    async def resize(self, exec_id: str, height: int, width: int) -> None:
        """Set the terminal's size."""
        item = self.find(exec_id)
        if not item.is_running:
            raise Invalid("cannot resize a stopped container: the exec process is not running")
        await item.live.running_task().resize(height, width, exec_id=item.id)

    def _publish(self, item: Exec, action: str, **attributes: str) -> None:
        self._ground.publish(item.live, action, execID=item.id, **attributes)


def _process(live: Live, config: Mapping[str, Any]) -> dict[str, Any]:
    return lower.exec_process(
        live.record,
        config["Cmd"],
        user_name=config["User"],
        env=config["Env"],
        cwd=config["WorkingDir"],
        tty=bool(config["Tty"]),
        privileged=bool(config["Privileged"]),
    )


def _words(item: Exec) -> str:
    return " ".join(item.config["Cmd"])


def _told(failure: StartFailure) -> CortenError:
    """A failed start as an answer; its words are Docker's, by which the client tells 126 and 127."""
    return Invalid(failure.message) if failure.exit_code in (126, 127) else Conflict(failure.message)
