"""Attaching to a container, before or while it runs, and reading what it printed.

Owns: who is connected when, the replay of the log, and ``docker logs``.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

from corten.api import framing
from corten.api.times import rfc3339_nano
from corten.engine import detach
from corten.engine.attachment import Attachment
from corten.engine.containers import bundle, logdriver
from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Live, Pending
from corten.engine.containers.model import Container
from corten.engine.containers.status import Status
from corten.errors import Conflict, Invalid
from corten.supervisor import logs
from corten.supervisor.logs import LogLine
from corten.supervisor.model import Client

_STREAMS = {"stdout": framing.STDOUT, "stderr": framing.STDERR}


@dataclass(frozen=True, slots=True)
class Wish:
    """What an attach request asks for."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    stream: bool = False
    logs: bool = False
    detach_keys: str = ""


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What a logs request asks for."""

    stdout: bool = False
    stderr: bool = False
    follow: bool = False
    since: float | None = None
    until: float | None = None
    tail: int | None = None
    timestamps: bool = False
    details: bool = False


def attach(ground: Ground, live: Live, wish: Wish) -> Attachment:
    """A hold on the container's streams; raises Conflict for one that is frozen or restarting."""
    record = live.record
    if record.state.status is Status.PAUSED:
        raise Conflict(f"container {record.id} is paused, unpause the container before attach")
    if record.state.status is Status.RESTARTING:
        raise Conflict(f"container {record.id} is restarting, wait until the container is running")
    keys = detach.parse(wish.detach_keys)
    streams = Client(wish.stdin and bool(record.config["OpenStdin"]), wish.stdout, wish.stderr)

    # Registered here and now: a start that comes before the streams are asked for must find it.
    pending = _register(live, streams) if wish.stream and live.task is None else None

    async def connect() -> socket.socket | None:
        if pending is not None:
            return await _wait(live, pending)
        if live.task is None:
            return None
        return await live.task.attach(stdin=streams.stdin, stdout=streams.stdout, stderr=streams.stderr)

    def history() -> AsyncIterator[bytes]:
        query = LogQuery(wish.stdout, wish.stderr)
        return read(ground, live, query) if wish.logs else _none()

    ground.publish(live, "attach")
    return Attachment(
        is_raw=record.has_tty,
        connect=connect,
        detach_keys=keys if record.has_tty and wish.stdin else None,
        history=history,
        is_following=wish.stream,
        on_detach=lambda: ground.publish(live, "detach"),
    )


def _register(live: Live, streams: Client) -> Pending:
    pending = Pending(streams, asyncio.get_running_loop().create_future())
    live.pending.append(pending)
    return pending


async def _wait(live: Live, pending: Pending) -> socket.socket | None:
    try:
        return await pending.future
    except asyncio.CancelledError:
        with contextlib.suppress(ValueError):
            live.pending.remove(pending)
        raise


async def _none() -> AsyncIterator[bytes]:
    return
    yield b""


def check_logs(record: Container, query: LogQuery) -> None:
    """Raise Invalid, in dockerd's words, if there is nothing that could be read."""
    if not (query.stdout or query.stderr):
        raise Invalid("Bad parameters: you must choose at least one stream")
    if not logdriver.keeps_file(record.log_driver, record.host_config["LogConfig"]["Config"] or {}):
        raise Invalid("configured logging driver does not support reading")


async def read(ground: Ground, live: Live, query: LogQuery) -> AsyncIterator[bytes]:
    """The log as it goes on the wire: framed, or raw for a terminal."""
    record = live.record
    check_logs(record, query)
    batches = logs.read(
        bundle.log_path(ground.bundle(record.id), record),
        tail=query.tail,
        since_ns=_nanoseconds(query.since),
        until_ns=_nanoseconds(query.until),
        # docker: a container that does not run is not waited for.
        follow=query.follow and record.is_running,
        stopped=lambda: not record.is_running,
    )
    async for batch in batches:
        if data := _wire(batch, query, record.has_tty):
            yield data


def _wire(batch: list[LogLine], query: LogQuery, is_raw: bool) -> bytes:
    """Entries as they go on the wire."""
    wanted = {name for name, on in (("stdout", query.stdout), ("stderr", query.stderr)) if on}
    is_plain = not (query.timestamps or query.details)
    pieces = []
    for line in batch:
        if line.stream in wanted:
            data = line.data if is_plain else _decorate(line, query)
            pieces.append(data if is_raw else framing.encode(_STREAMS[line.stream], data))
    return b"".join(pieces)


def _nanoseconds(moment: float | None) -> int | None:
    return None if moment is None else int(moment * 1e9)


def _decorate(line: LogLine, query: LogQuery) -> bytes:
    prefix = b""
    if query.timestamps:
        # docker: nine digits always, unlike in JSON.
        whole, _, _ = rfc3339_nano(line.time_ns // 10**9 * 10**9).partition("Z")
        prefix = f"{whole}.{line.time_ns % 10**9:09d}Z ".encode()
    if query.details:
        attributes = line.attrs or {}
        prefix += ",".join(f"{key}={value}" for key, value in sorted(attributes.items())).encode() + b" "
    return prefix + line.data
