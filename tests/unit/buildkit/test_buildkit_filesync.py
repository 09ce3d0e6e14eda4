"""Receiving directories packet by packet, and what a sender must not do; sending one to the receiver."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from corten.buildkit.filesync import modes
from corten.buildkit.filesync.fetch import Wanted, fetch, metadata
from corten.buildkit.filesync.receive import Receiver
from corten.buildkit.filesync.send import describe, listing
from corten.buildkit.grpc.connection import Connection, Stream
from corten.buildkit.messages.session import DATA, ERR, FIN, REQ, STAT, Packet, Stat
from corten.buildkit.sessions import FILE_SYNC, Session
from corten.errors import CortenError, Invalid
from corten.kernel.paths import Root

ME = {"uid": os.getuid(), "gid": os.getgid()}
END = Packet(STAT)


def file(path: str, size: int, *, mtime: int = 10**9, mode: int = 0o644) -> Stat:
    return Stat(path, mode, size=size, mod_time=mtime, **ME)


def directory(path: str, mode: int = 0o755) -> Stat:
    return Stat(path, modes.DIRECTORY | mode, mod_time=5 * 10**9, **ME)


def transfer(root: Path, entries: list[Stat], contents: dict[str, bytes]) -> list[str]:
    """Play the sender; the paths that were asked for."""
    receiver = Receiver(root)
    asked = []
    packets = [Packet(STAT, entry) for entry in entries] + [END]
    pending = receiver.feed(packets)
    while pending:
        answer = pending.pop(0)
        if answer.type == FIN:
            assert not pending
            assert receiver.feed([Packet(FIN)]) == []
            break
        path = entries[answer.id].path
        asked.append(path)
        for at in range(0, len(contents[path]), 3):
            pending += receiver.feed([Packet(DATA, id=answer.id, data=contents[path][at : at + 3])])
        pending += receiver.feed([Packet(DATA, id=answer.id)])
    assert receiver.is_done
    receiver.close()
    return asked


def test_a_tree(tmp_path: Path) -> None:
    entries = [
        directory("d", 0o500),
        file("d/a", 5, mode=0o755 | modes.SETUID),
        Stat("d/b", 0o644, linkname="d/a", **ME),
        Stat("d/l", modes.SYMLINK | 0o777, linkname="../../outside", mod_time=10**9, **ME),
        Stat("d/p", modes.FIFO | 0o600, **ME),
        file("empty", 0),
    ]
    assert transfer(tmp_path, entries, {"d/a": b"hello", "empty": b""}) == ["d/a", "empty"]
    assert (tmp_path / "d/a").read_bytes() == b"hello"
    assert stat.S_IMODE((tmp_path / "d/a").stat().st_mode) == 0o4755
    assert (tmp_path / "d/b").stat().st_ino == (tmp_path / "d/a").stat().st_ino
    assert os.readlink(tmp_path / "d/l") == "../../outside"
    assert stat.S_ISFIFO((tmp_path / "d/p").stat().st_mode)
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o500
    assert (tmp_path / "d").stat().st_mtime_ns == 5 * 10**9


def test_only_changes_are_asked_for_and_what_is_gone_goes(tmp_path: Path) -> None:
    first = [directory("d"), file("d/a", 1), file("d/b", 1), file("x", 1), directory("y"), file("y/z", 1)]
    transfer(tmp_path, first, {"d/a": b"1", "d/b": b"1", "x": b"1", "y/z": b"1"})
    second = [directory("d"), file("d/a", 1), file("d/b", 1, mtime=2), directory("x"), file("x/n", 2), file("y", 1)]
    assert transfer(tmp_path, second, {"d/b": b"2", "x/n": b"22", "y": b"3"}) == ["d/b", "x/n", "y"]
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert found == ["d", "d/a", "d/b", "x", "x/n", "y"]
    assert (tmp_path / "d/b").read_bytes() == b"2"


def test_an_unfinished_transfer_is_no_finished_one(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path)
    receiver.feed([Packet(STAT, file("a", 2)), END, Packet(DATA, id=0, data=b"ab")])
    receiver.close()
    assert transfer(tmp_path, [file("a", 2)], {"a": b"xy"}) == ["a"]


def test_changed_files_leave_their_hard_links_alone(tmp_path: Path) -> None:
    transfer(tmp_path, [file("a", 1), Stat("b", 0o644, linkname="a", **ME)], {"a": b"1"})
    assert transfer(tmp_path, [file("a", 1, mtime=7), file("b", 1)], {"a": b"2", "b": b"1"}) == ["a"]
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"2", b"1")


@pytest.mark.parametrize(
    "entries",
    [
        [file("../x", 1)],
        [file("/x", 1)],
        [file("", 1)],
        [file("a//b", 1)],
        [file("a\0b", 1)],
        [file("a/b", 1)],
        [file("a", 1), file("a", 1)],
        [Stat("a", modes.SYMLINK | 0o777, linkname="/etc", **ME), file("a/passwd", 1)],
        [file("a", 1), file("a/b", 1)],
        [Stat("a", 0o644, linkname="/etc/passwd", **ME)],
        [Stat("a", modes.SYMLINK | 0o777, linkname="/etc/passwd", **ME), Stat("b", 0o644, linkname="a", **ME)],
    ],
)
def test_hostile_lists(tmp_path: Path, entries: list[Stat]) -> None:
    with pytest.raises(Invalid):
        Receiver(tmp_path).feed([Packet(STAT, entry) for entry in entries])


def test_a_link_left_by_an_earlier_transfer_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    root = tmp_path / "root"
    root.mkdir()
    transfer(root, [Stat("a", modes.SYMLINK | 0o777, linkname="../outside", **ME)], {})
    transfer(root, [directory("a"), file("a/b", 1)], {"a/b": b"x"})
    assert list((tmp_path / "outside").iterdir()) == []
    assert (root / "a/b").read_bytes() == b"x"


@pytest.mark.parametrize(
    "packets",
    [
        [Packet(DATA, id=0, data=b"x")],
        [END, Packet(STAT, file("a", 1))],
        [Packet(FIN)],
        [Packet(STAT, file("a", 1)), END, Packet(FIN)],
        [Packet(ERR, data=b"no")],
    ],
)
def test_packets_out_of_turn(tmp_path: Path, packets: list[Packet]) -> None:
    with pytest.raises(CortenError):
        Receiver(tmp_path).feed(packets)


def test_listing_is_what_the_receiver_takes(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for name in ("a/x/1", "a-b", "a/y"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    os.symlink("a", source / "l")
    target.mkdir()
    with Root.at(source) as root:
        entries = list(listing(root))
        assert describe(root, "a-b", "a-b").size == 3
    transfer(target, entries, {e.path: (source / e.path).read_bytes() for e in entries if not e.mode & modes.KIND})
    assert [e.path for e in entries] == ["a", "a/x", "a/x/1", "a/y", "a-b", "l"]
    with Root.at(target) as root:
        assert list(listing(root)) == entries


def test_metadata_is_quoted_where_it_must_be() -> None:
    found = metadata(Wanted("context", excludes=("*.log", "ä b"), follow=("Dockerfile",)))
    assert ("exclude-patterns", "%C3%A4+b") in found and ("exclude-patterns", "%2A.log") in found
    assert ("exclude-patterns-encoded", "1") in found
    assert ("followpaths", "Dockerfile") in found and ("followpaths-encoded", "1") not in found


def test_fetching_over_a_connection(tmp_path: Path) -> None:
    """A client that serves one file; our side asks for it."""

    async def serve(stream: Stream) -> None:
        assert dict(stream.headers)["dir-name"] == "context"
        stream.send_headers([(":status", "200"), ("content-type", "application/grpc")])
        await stream.send(Packet(STAT, file("a", 4)).to_bytes())
        await stream.send(END.to_bytes())
        while (data := await stream.receive()) is not None:
            packet = Packet.parse(data)
            if packet.type == REQ:
                await stream.send(Packet(DATA, id=0, data=b"data").to_bytes())
                await stream.send(Packet(DATA, id=0).to_bytes())
            elif packet.type == FIN:
                await stream.send(Packet(FIN).to_bytes())
        stream.send_headers([("grpc-status", "0")], end=True)

    async def run() -> int:
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Future[None]] = []
        served = Connection(is_client=False, accept=lambda stream: tasks.append(asyncio.ensure_future(serve(stream))))
        calling = Connection(is_client=True)
        await loop.create_connection(lambda: served, sock=theirs)
        await loop.create_connection(lambda: calling, sock=ours)
        session = Session("id", "", frozenset({FILE_SYNC.lower()}), calling)
        size = await fetch(session, Wanted("context"), tmp_path)
        with pytest.raises(Invalid, match="offers no local directories"):
            await fetch(Session("id", "", frozenset(), calling), Wanted("context"), tmp_path)
        calling.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        return size

    assert asyncio.run(run()) == 4
    assert (tmp_path / "a").read_bytes() == b"data"
