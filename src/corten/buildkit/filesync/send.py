"""Sending a directory to a client, or a stream of bytes for a file there: what exporters need.

The receiver asks for the files that it wants; everything else is in the listing.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Iterator, Mapping

from corten.buildkit.filesync import modes
from corten.buildkit.grpc import client
from corten.buildkit.grpc.connection import Stream
from corten.buildkit.messages.session import DATA, ERR, FIN, REQ, STAT, Bytes, Packet, Stat
from corten.buildkit.sessions import FILE_SEND, Session
from corten.errors import Invalid
from corten.kernel.paths import Root

EXPORTER = "buildkit-attachable-exporter-id"
CHUNK = 32 << 10


def describe(root: Root, path: str, shown: str) -> Stat:
    """A file as the protocol shows it."""
    found = root.stat(path, follow=False)
    is_device = stat.S_ISBLK(found.st_mode) or stat.S_ISCHR(found.st_mode)
    return Stat(
        path=shown,
        mode=modes.from_unix(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        size=found.st_size if stat.S_ISREG(found.st_mode) else 0,
        mod_time=found.st_mtime_ns,
        linkname=root.readlink(path) if stat.S_ISLNK(found.st_mode) else "",
        devmajor=os.major(found.st_rdev) if is_device else 0,
        devminor=os.minor(found.st_rdev) if is_device else 0,
    )


def listing(root: Root, directory: str = "", linked: dict[tuple[int, int], str] | None = None) -> Iterator[Stat]:
    """Everything beneath, directories before what is in them; a further name of a file is a link to the first."""
    linked = {} if linked is None else linked
    for name in sorted(root.list(directory or "/"), key=os.fsencode):
        path = f"{directory}/{name}" if directory else name
        found = describe(root, path, path)
        if not found.mode & modes.KIND:
            status = root.stat(path, follow=False)
            if status.st_nlink > 1:
                first = linked.setdefault((status.st_dev, status.st_ino), path)
                found.linkname = first if first != path else ""
        yield found
        if found.mode & modes.DIRECTORY:
            yield from listing(root, path, linked)


async def send_tree(session: Session, exporter: int, root: Root) -> None:
    """Make the client's directory hold what ``root`` holds."""
    session.require(FILE_SEND, "output directory")
    entries = await asyncio.to_thread(lambda: list(listing(root)))
    async with client.opened(session.connection, FILE_SEND, [(EXPORTER, str(exporter))]) as stream:
        offering = asyncio.ensure_future(_offer(stream, entries))
        try:
            await _answer(stream, entries, root)
            await offering
        finally:
            offering.cancel()
        stream.end()
        while await stream.receive() is not None:
            pass
        client.check(stream)


async def _offer(stream: Stream, entries: list[Stat]) -> None:
    for entry in entries:
        await stream.send(Packet(STAT, entry).to_bytes())
    await stream.send(Packet(STAT).to_bytes())


async def _answer(stream: Stream, entries: list[Stat], root: Root) -> None:
    while (data := await stream.receive()) is not None:
        packet = Packet.parse(data)
        if packet.type == REQ:
            if packet.id >= len(entries):
                raise Invalid(f"invalid file id {packet.id}")
            await _send_file(stream, packet.id, root, entries[packet.id].path)
        elif packet.type == ERR:
            raise Invalid(f"error from receiver: {packet.data.decode('utf-8', 'replace')}")
        elif packet.type == FIN:
            await stream.send(Packet(FIN).to_bytes())
            return
    client.check(stream)
    raise Invalid("the client ended the transfer too early")


async def _send_file(stream: Stream, number: int, root: Root, path: str) -> None:
    with open(root.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        while data := await asyncio.to_thread(file.read, CHUNK):
            await stream.send(Packet(DATA, id=number, data=data).to_bytes())
    await stream.send(Packet(DATA, id=number).to_bytes())


async def send_file(session: Session, exporter: int, told: Mapping[str, str], pieces: AsyncIterator[bytes]) -> None:
    """Write a file at the client's."""
    session.require(FILE_SEND, "output file")
    metadata = [(EXPORTER, str(exporter)), *((f"exporter-md-{name}", value) for name, value in told.items())]
    async with client.opened(session.connection, FILE_SEND, metadata) as stream:
        async for data in pieces:
            for at in range(0, len(data), 1 << 20):
                await stream.send(Bytes(data[at : at + (1 << 20)]).to_bytes())
        stream.end()
        while await stream.receive() is not None:
            pass
        client.check(stream)
