"""Layers as a tar with an EROFS index: mounted, they must look as the unpacked layer does."""

from __future__ import annotations

import io
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corten.errors import Internal, Invalid
from corten.kernel import erofs
from corten.store.layers.apply import Applied, Whiteouts, apply
from corten.store.layers.header import Entry
from corten.store.layers.index import INDEX, TAR, dress, index_layer
from corten.store.layers.index_tree import IndexTree, Unindexable, write
from corten.store.layers.settle import settle
from corten.store.layers.stream import Extent
from corten.store.layers.target import is_opaque, is_whiteout
from corten.store.layers.writer import TarWriter

pytestmark = pytest.mark.root
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def tar_of(entries: list[tuple[Entry, bytes]]) -> bytes:
    out = io.BytesIO()
    writer = TarWriter(out.write)
    for entry, data in entries:
        entry.size = len(data)
        writer.add(entry)
        writer.text(data)
    writer.finish()
    return out.getvalue()


@contextmanager
def mounted(directory: Path) -> Iterator[Path]:
    fd = erofs.detached(str(directory / INDEX), str(directory / TAR))
    try:
        yield Path(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def look(root: Path, *, times: bool = True) -> dict[str, tuple[object, ...]]:
    """All that can be seen of a tree; inodes by the first name that leads to them."""
    found: dict[str, tuple[object, ...]] = {}
    first: dict[int, str] = {}
    pending = [""]
    while pending:
        path = pending.pop()
        place = os.path.join(root, path) if path else f"{root}/."
        status = os.lstat(place)
        kind = stat.S_IFMT(status.st_mode)
        names = sorted(os.listxattr(place, follow_symlinks=False)) if kind != stat.S_IFLNK else []
        data: object = None
        if kind == stat.S_IFREG:
            data = Path(place).read_bytes()
        elif kind == stat.S_IFLNK:
            data = os.readlink(place)
        elif kind == stat.S_IFDIR:
            below = sorted(os.listdir(place), reverse=True)
            pending += [f"{path}/{name}" if path else name for name in below]
        found[path] = (
            oct(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_rdev,
            status.st_mtime_ns if times and not is_whiteout(status) else 0,
            data,
            [(name, os.getxattr(place, name, follow_symlinks=False)) for name in names],
            first.setdefault(status.st_ino, path) if kind != stat.S_IFDIR else "",
            status.st_nlink if kind != stat.S_IFDIR else 0,
        )
    return found


def both(data: bytes, root: Path, *, lowest: bool = False) -> tuple[Path, Path, Applied]:
    source, tree, indexed = root / "source", root / "tree", root / "indexed"
    source.write_bytes(data)
    tree.mkdir(0o755)
    indexed.mkdir()
    unpacked = apply(source, tree, whiteouts=Whiteouts.DROP if lowest else Whiteouts.KEEP)
    found = index_layer(Extent(str(source)), indexed, lowest=lowest)
    assert (indexed / TAR).read_bytes() == data
    assert (found.diff_id, found.size, found.inodes) == (unpacked.diff_id, unpacked.size, unpacked.inodes)
    return tree, indexed, found


def test_everything_a_layer_has(tmp_path: Path) -> None:
    pair = {"user.a": b"", "user.b": b"2"}
    top = (1 << 31) * 1_000_000_000 + 5
    entries = [
        (Entry(b"./", b"5", 0o711, 3, 4, mtime_ns=5_000_000_000), b""),
        (Entry(b"d/", b"5", 0o1777, 1, 2, mtime_ns=10**9, xattrs={"user.x": b"dir"}), b""),
        (Entry(b"d/file", mode=0o4755, uid=70000, gid=80000, mtime_ns=top, xattrs=pair), b"x" * 1000),
        (Entry(b"d/cap", mode=0o755, xattrs={"security.capability": CAPABILITY}), b"c" * 512),
        (Entry(b"d/empty"), b""),
        (Entry(b"d/hard", b"1", link=b"d/file"), b""),
        (Entry(b"d/sym", b"2", link=b"../over/there"), b""),
        (Entry(b"d/" + b"long" * 60, b"2", link=b"t" * 3000), b""),
        (Entry(b"d/hardsym", b"1", link=b"d/sym"), b""),
        (Entry(b"dev", b"3", 0o620, major=300, minor=70000), b""),
        (Entry(b"blk", b"4", 0o600, major=8, minor=1), b""),
        (Entry(b"pipe", b"6", 0o600), b""),
        (Entry(b"n" * 255, mode=0o600), b"long"),
        (Entry(b"gone/.wh.a"), b""),
        (Entry(b"opaque/", b"5"), b""),
        (Entry(b"opaque/.wh..wh..opq"), b""),
        (Entry(b".wh.replaced"), b""),
        (Entry(b"replaced/", b"5"), b""),
        (Entry(b"twice"), b"first"),
        (Entry(b"twice"), b"second"),
        *((Entry(b"many/%04d" % number), b"%d" % number) for number in range(500)),
    ]  # fmt: skip
    tree, indexed, found = both(tar_of(entries), tmp_path)
    assert (sorted(found.implied), found.root) == (["gone", "many"], True)
    lower = tmp_path / "lower"
    (lower / "gone").mkdir(parents=True)
    (lower / "many").mkdir(mode=0o750)
    os.chown(lower / "many", 7, 8)
    settle(tree, [lower], found.implied, ())
    dress(indexed, [lower], found.implied, root=found.root)
    with mounted(indexed) as root:
        assert look(root) == look(tree)
        assert is_opaque(f"{root}/opaque")
        assert is_opaque(f"{root}/replaced")
        assert os.lstat(root / "gone/a").st_rdev == 0


def test_the_root_looks_as_it_does_below(tmp_path: Path) -> None:
    _, indexed, found = both(tar_of([(Entry(b"f"), b"x")]), tmp_path)
    lower = tmp_path / "lower"
    lower.mkdir(mode=0o1777)
    os.chown(lower, 5, 6)
    dress(indexed, [lower], found.implied, root=found.root)
    with mounted(indexed) as root:
        status = os.stat(root)
        assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o1777, 5, 6)


def test_the_lowest_layer_has_no_whiteouts(tmp_path: Path) -> None:
    entries = [(Entry(b"d/.wh.a"), b""), (Entry(b"d/.wh..wh..opq"), b""), (Entry(b"d/f"), b"1")]
    tree, indexed, _ = both(tar_of(entries), tmp_path, lowest=True)
    with mounted(indexed) as root:
        assert look(root, times=False) == look(tree, times=False)


def test_a_file_beyond_four_gigabytes(tmp_path: Path) -> None:
    size = (5 << 30) + 777
    with open(tmp_path / TAR, "wb") as out:
        out.truncate(512 + size + -size % 512 + 1024)
        out.seek(512 + size - 4)
        out.write(b"last")
    tree = IndexTree(lowest=True)
    tree.add(Entry(b"big", size=size), 512)
    (tmp_path / INDEX).write_bytes(b"".join(write(tree, os.stat(tmp_path / TAR).st_size // 512)))
    with mounted(tmp_path) as root, open(root / "big", "rb") as file:
        assert file.seek(0, os.SEEK_END) == size
        file.seek(size - 8)
        assert file.read() == bytes(4) + b"last"


@pytest.mark.parametrize(
    "entries",
    [
        [Entry(b"a", b"1", link=b"below")],
        [Entry(b"s", b"2", link=b"d"), Entry(b"s/f")],
        [Entry(b"f"), Entry(b"f/g")],
        [Entry(b"./", b"2", link=b"x")],
        [Entry(b"x" * 256)],
        [Entry(b"d/", b"5"), Entry(b"h", b"1", link=b"d")],
        [Entry(b"f", xattrs={"system.posix_acl_access": b"nonsense"})],
        [Entry(b"f", xattrs={"strange": b""})],
        [Entry(b".wh...")],
    ],
)
def test_what_must_be_unpacked_leaves_nothing(entries: list[Entry], tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(tar_of([(entry, b"") for entry in entries]))
    (tmp_path / "indexed").mkdir()
    with pytest.raises(Unindexable):
        index_layer(Extent(str(tmp_path / "source")), tmp_path / "indexed", lowest=False)
    assert os.listdir(tmp_path / "indexed") == []


NAMES = st.sampled_from([b"a", b"b", b"c", b".wh.a", b".wh.b", b".wh..wh..opq", b".wh..wh.plnk", b".wh.", b"..", b"."])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(b"/".join)
XATTRS = st.sampled_from(["user.a", "security.capability", "trusted.overlay.opaque"])
ENTRIES = st.builds(
    Entry,
    name=PATHS,
    kind=st.sampled_from([b"0", b"0", b"5", b"5", b"1", b"2", b"3", b"6"]),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 70000),
    link=PATHS,
    minor=st.integers(0, 1),
    xattrs=st.dictionaries(XATTRS, st.just(CAPABILITY)),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=st.lists(st.tuples(ENTRIES, st.binary(max_size=600)), max_size=12), lowest=st.booleans())
def test_any_tar_looks_as_unpacked_or_is_unpacked(entries: list[tuple[Entry, bytes]], lowest: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        data = tar_of([(entry, data if entry.kind == b"0" else b"") for entry, data in entries])
        (root / "source").write_bytes(data)
        (root / "indexed").mkdir()
        (root / "tree").mkdir(0o755)
        try:
            index_layer(Extent(str(root / "source")), root / "indexed", lowest=lowest)
        except (Unindexable, Invalid):
            return
        apply(root / "source", root / "tree", whiteouts=Whiteouts.DROP if lowest else Whiteouts.KEEP)
        with mounted(root / "indexed") as shown:
            assert look(shown, times=False) == look(root / "tree", times=False)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=4096), at=st.integers(0, 4000), flip=st.integers(1, 255))
def test_garbage_is_refused_cleanly(data: bytes, at: int, flip: int) -> None:
    good = bytearray(tar_of([(Entry(b"d/f"), data), (Entry(b"d/l", b"2", link=b"f"), b"")]))
    good[at % len(good)] ^= flip
    for content in (data, bytes(good)):
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            (root / "source").write_bytes(content)
            (root / "indexed").mkdir()
            try:
                index_layer(Extent(str(root / "source")), root / "indexed", lowest=False)
            except (Unindexable, Invalid, Internal):
                continue
            with mounted(root / "indexed") as shown:
                look(shown)
