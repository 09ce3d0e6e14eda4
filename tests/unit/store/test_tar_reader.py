"""The tar reader: what others write is read; what is hostile is refused; chunks may break anywhere."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corten.errors import Invalid
from corten.store.layers import header, pax
from corten.store.layers.header import BLOCK, Entry
from corten.store.layers.reader import TarReader
from corten.store.layers.writer import TarWriter

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def archive(members: list[tuple[tarfile.TarInfo, bytes]], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def read_all(data: bytes, size: int = 1 << 20) -> list[tuple[Entry, bytes]]:
    reader = TarReader(pieces(data, size))
    return [(entry, reader.read(entry, 1 << 20) if entry.size else b"") for entry in reader]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("size", [1, 511, 513, 1 << 20])
def test_reads_every_format_in_any_pieces(form: int, size: int) -> None:
    one = tarfile.TarInfo("a/" + "b" * 90 + "/c")
    one.mode, one.uid, one.gid, one.mtime = 0o4755, 12, 34, 1_700_000_000
    link = tarfile.TarInfo("l")
    link.type, link.linkname = tarfile.SYMTYPE, "x" * 90
    found = read_all(archive([(one, b"hello"), (link, b"")], form), size)
    assert [(e.name, e.kind, e.link) for e, _ in found] == [
        (one.name.encode(), header.REGULAR, b""),
        (b"l", header.SYMLINK, b"x" * 90),
    ]
    entry, data = found[0]
    assert (entry.mode, entry.uid, entry.gid, entry.mtime_ns, data) == (0o4755, 12, 34, 1_700_000_000 * 10**9, b"hello")


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_and_big_numbers(form: int) -> None:
    info = tarfile.TarInfo("d/" * 100 + "n" * 200)
    info.uid, info.gid = 2**31 + 5, 2**31 + 6
    link = tarfile.TarInfo("l")
    link.type, link.linkname = tarfile.LNKTYPE, "d/" * 100 + "n" * 200
    found = read_all(archive([(info, b"x"), (link, b"")], form))
    assert found[0][0].name.decode() == info.name
    assert (found[0][0].uid, found[0][0].gid) == (info.uid, info.gid)
    assert found[1][0].link.decode() == link.linkname


def test_pax_xattrs_times_and_globals() -> None:
    info = tarfile.TarInfo("f")
    info.pax_headers = {"mtime": "-1.5", "SCHILY.xattr.user.k": "v"}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "c"}) as tar:
        tar.addfile(info)
    entry = read_all(out.getvalue())[0][0]
    assert entry.xattrs == {"user.k": b"v"}
    assert entry.mtime_ns == -1_500_000_000


def test_the_end_may_be_missing_or_long() -> None:
    data = archive([(tarfile.TarInfo("f"), b"x")])
    assert len(read_all(data[: 2 * BLOCK])) == 1
    assert len(read_all(data + bytes(5 * BLOCK))) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"\xff" + data[1:],  # checksum
        lambda data: data[: BLOCK + 3],  # cut in the data
        lambda data: data[:100],  # cut in the header
    ],
)
def test_broken_archives(spoil: object) -> None:
    data = archive([(tarfile.TarInfo("f"), b"x" * 600)])
    with pytest.raises(Invalid):
        read_all(spoil(data))  # type: ignore[operator]


def raw(entry: Entry, **fields: bytes) -> bytes:
    block = bytearray(header.build(entry) or b"")
    for name, value in fields.items():
        start = {"size": 124, "uid": 108, "type": 156}[name]
        block[start : start + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    "block",
    [
        raw(Entry(b"f"), size=b"\xff" * 12),  # minus one
        raw(Entry(b"f"), size=b"zzz"),
        raw(Entry(b"f"), uid=b"\x80\0\0\0\xff\xff\xff\xff"),  # the owner that chown(2) takes for none
        raw(Entry(b"f"), type=b"M"),  # several volumes
        raw(Entry(b"f", header.PAX, size=1 << 30)),  # a header of a gigabyte
        raw(Entry(b"f", header.GNU_NAME, size=1 << 30)),
    ],
)
def test_hostile_headers(block: bytes) -> None:
    with pytest.raises(Invalid):
        read_all(block + bytes(4 * BLOCK))


@pytest.mark.parametrize("data", [b"x", b"5 a=b\n", b"99999 a=b\n", b"7 a=b\n", b"-6 a=b\n", b"6 a=b\n6 a=b", b"0 \n"])
def test_malformed_pax(data: bytes) -> None:
    with pytest.raises(Invalid):
        pax.parse(data)


@given(st.dictionaries(st.sampled_from([b"path", b"k", b"a.b", b"SCHILY.xattr.user.x"]), st.binary(max_size=1200)))
def test_pax_prints_back(records: dict[bytes, bytes]) -> None:
    assert pax.parse(pax.build(records)) == records


@given(st.binary(max_size=4 * BLOCK))
def test_any_bytes_are_entries_or_invalid(data: bytes) -> None:
    try:
        read_all(data)
    except Invalid:
        return


@settings(max_examples=200)
@given(st.data())
def test_spoiled_archives_are_entries_or_invalid(data: st.DataObject) -> None:
    info = tarfile.TarInfo("n" * 150)
    info.pax_headers = {"SCHILY.xattr.user.k": "v", "GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    spoiled = bytearray(archive([(info, b"1\n0\n5\n".ljust(BLOCK, b"\0") + b"hello"), (tarfile.TarInfo("b"), b"xyz")]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(spoiled) - 1))
        spoiled[at] = data.draw(st.integers(0, 255))
        # A right checksum lets the spoiled header through to the code behind it.
        start = at - at % BLOCK
        block = spoiled[start : start + BLOCK]
        block[148:156] = b" " * 8
        if data.draw(st.booleans()):
            spoiled[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    try:
        read_all(bytes(spoiled))
    except Invalid:
        return


names = st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name and not name.endswith(b"/"))


@given(
    st.lists(
        st.builds(
            Entry,
            name=names,
            kind=st.sampled_from([header.SYMLINK, header.LINK, header.FIFO, header.CHARACTER]),
            mode=st.integers(0, 0o7777),
            uid=st.integers(0, 2**32 - 2),
            gid=st.integers(0, 2**32 - 2),
            mtime_ns=st.integers(-(10**6), 10**12).map(lambda seconds: seconds * 10**9),
            link=names,
            xattrs=st.dictionaries(st.sampled_from(["user.a", "security.capability"]), st.binary(max_size=40)),
        ),
        max_size=4,
    )
)
def test_what_is_written_is_read(entries: list[Entry]) -> None:
    out = bytearray()
    writer = TarWriter(out.extend)
    for entry in entries:
        writer.add(entry)
    writer.finish()
    assert writer.size == len(out)
    found = [entry for entry, _ in read_all(bytes(out))]
    assert [(e.name, e.kind, e.mode, e.uid, e.gid, e.mtime_ns, e.link, e.xattrs) for e in found] == [
        (e.name, e.kind, e.mode, e.uid, e.gid, e.mtime_ns, e.link, e.xattrs) for e in entries
    ]
    # Python's own reader agrees.
    with tarfile.open(fileobj=io.BytesIO(bytes(out))) as tar:
        assert [os.fsencode(member.name) for member in tar] == [entry.name for entry in entries]


def sparse_file(path: Path) -> bytes:
    with open(path, "wb") as file:
        file.seek(1 << 20)
        file.write(b"middle")
        file.truncate(3 << 20)
    return path.read_bytes()


@pytest.mark.parametrize("version", ["gnu", "0.0", "0.1", "1.0"])
def test_sparse_files_of_gnu_tar(version: str, tmp_path: Path) -> None:
    data = sparse_file(tmp_path / "s")
    form = ["--format=gnu"] if version == "gnu" else ["--format=pax", f"--sparse-version={version}"]
    subprocess.run(["tar", "-C", tmp_path, "-S", *form, "-cf", tmp_path / "t.tar", "s"], check=True)
    packed = (tmp_path / "t.tar").read_bytes()
    assert len(packed) < 1 << 16
    reader = TarReader(pieces(packed, 700))
    (entry,) = list(iterate(reader, tmp_path / "out"))
    assert entry.name == b"s"
    assert entry.real_size == len(data)
    assert (tmp_path / "out").read_bytes() == data


def iterate(reader: TarReader, out: Path) -> Iterator[Entry]:
    for entry in reader:
        with open(out, "wb") as file:
            reader.copy(entry, file.fileno())
        yield entry
