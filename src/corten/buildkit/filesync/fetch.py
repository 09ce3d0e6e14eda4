"""Fetching a client's directory through its session: the call, and the receiver in a thread beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_plus

from corten.buildkit.filesync.receive import Receiver
from corten.buildkit.grpc import client
from corten.buildkit.grpc.connection import Stream
from corten.buildkit.messages.session import ERR, Packet
from corten.buildkit.sessions import FILE_SYNC, Session
from corten.errors import CortenError

MUCH, SLICE = 1 << 20, 64


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which directory, and what of it; empty lists are no restriction."""

    name: str
    includes: Sequence[str] = ()
    excludes: Sequence[str] = ()
    follow: Sequence[str] = ()


async def fetch(session: Session, wanted: Wanted, target: Path) -> int:
    """Make ``target`` what the client has; the bytes that had to come."""
    session.require(FILE_SYNC, "local directories")
    receiver = Receiver(target)
    async with client.opened(session.connection, FILE_SYNC, metadata(wanted)) as stream:
        try:
            await _run(stream, receiver)
        finally:
            await asyncio.to_thread(receiver.close)
    return receiver.bytes


async def _run(stream: Stream, receiver: Receiver) -> None:
    while not receiver.is_done:
        batch = await stream.receive_some()
        if not batch:
            client.check(stream)
            raise CortenError("the client ended the transfer too early")
        try:
            answers = await _feed(receiver, batch)
        except CortenError as failure:
            await stream.send(Packet(ERR, data=failure.message.encode()).to_bytes())
            raise
        await stream.send(*(answer.to_bytes() for answer in answers))
    stream.end()


async def _feed(receiver: Receiver, batch: list[bytes]) -> list[Packet]:
    """Many small things are done faster here than by a thread that contends with this one; data is written by one."""
    if sum(map(len, batch)) > MUCH:
        return await asyncio.to_thread(lambda: receiver.feed(map(Packet.parse, batch)))
    answers: list[Packet] = []
    for at in range(0, len(batch), SLICE):
        answers += receiver.feed(map(Packet.parse, batch[at : at + SLICE]))
        await asyncio.sleep(0)
    return answers


def metadata(wanted: Wanted) -> list[tuple[str, str]]:
    """The call's headers; text beyond ASCII is quoted, and says so."""
    lists = {
        "include-patterns": wanted.includes,
        "exclude-patterns": wanted.excludes,
        "followpaths": wanted.follow,
        "dir-name": (wanted.name,),
    }
    found: list[tuple[str, str]] = []
    for key, values in lists.items():
        is_plain = all(value.isascii() and value.isprintable() for value in values)
        found += [(key, value if is_plain else quote_plus(value)) for value in values]
        if not is_plain:
            found.append((f"{key}-encoded", "1"))
    return found
