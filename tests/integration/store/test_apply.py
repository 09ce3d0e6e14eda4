"""Unpacking and packing layers, as root: exact trees back, whiteouts, and nothing outside whatever the tar says."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from corten.errors import Internal, Invalid
from corten.spec.digest import Digest
from corten.store.layers import beds
from corten.store.layers.apply import Applied, Whiteouts, apply
from corten.store.layers.changes import changes
from corten.store.layers.pack import measure, pack
from corten.store.layers.printing import Source, measure_source, print_layer
from corten.store.layers.recipe import print_tar
from corten.store.layers.settle import settle
from corten.store.layers.target import OPAQUE

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture(autouse=True, params=["in place", "from beds"])
def ground(request: pytest.FixtureRequest) -> Iterator[None]:
    """Everything must be so too where it is slow to make files in place."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "from beds":
            patch.setattr(beds, "SLOW_NS", -1)
            patch.setattr(beds, "PATIENCE", 1)
        yield


class Tar:
    """Builds a tar entry by entry, in exactly the order given."""

    def __init__(self) -> None:
        self.out = io.BytesIO()
        self.tar = tarfile.TarFile(fileobj=self.out, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "", **fields: object) -> Tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, len(data)
        info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
        for key, value in fields.items():
            setattr(info, key, value)
        self.tar.addfile(info, io.BytesIO(data))
        return self

    def dir(self, name: str, **fields: object) -> Tar:
        return self.add(name, kind=tarfile.DIRTYPE, **fields)

    def bytes(self) -> bytes:
        self.tar.close()
        return self.out.getvalue()


def unpack(tmp_path: Path, data: bytes, name: str = "out", **options: object) -> tuple[Path, Applied]:
    source = tmp_path / f"{name}.tar"
    source.write_bytes(data)
    target = tmp_path / name
    target.mkdir(exist_ok=True)
    return target, apply(source, target, beds=tmp_path / f"{name}.beds", **options)  # type: ignore[arg-type]


def listing(root: Path) -> list[tuple[object, ...]]:
    """Everything that a layer keeps of a tree."""
    found = []
    for path in sorted(root.rglob("*")):
        at = path.lstat()
        data: object = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        link = os.readlink(path) if path.is_symlink() else None
        xattrs = {k: os.getxattr(path, k, follow_symlinks=False) for k in os.listxattr(path, follow_symlinks=False)}
        found.append(
            (
                str(path.relative_to(root)),
                at.st_mode,
                at.st_uid,
                at.st_gid,
                at.st_rdev,
                int(at.st_mtime),
                data,
                link,
                xattrs,
            )
        )
    return found


def test_everything_that_a_layer_may_hold(tmp_path: Path) -> None:
    capability = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    tar = Tar().dir("./", mode=0o1755, uid=5).dir("d", mode=0o2711, uid=7, gid=8, mtime=1000)
    tar.add("d/setuid", b"x" * 5000, mode=0o4755, uid=100000, gid=4000000000, mtime=2000)
    tar.add("d/cap", b"c", pax_headers={"SCHILY.xattr.security.capability": capability.decode("latin-1")})
    tar.add("d/hard", kind=tarfile.LNKTYPE, link="d/setuid").add("sym", kind=tarfile.SYMTYPE, link="/etc/passwd", uid=3)
    tar.add("null", kind=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666).add("fifo", kind=tarfile.FIFOTYPE)
    tar.add("disk", kind=tarfile.BLKTYPE, devmajor=7, devminor=9).add("n" * 250, b"long").add("d/none", b"", mode=0)
    tar.add("café", b"utf-8")
    data = tar.bytes()
    root, applied = unpack(tmp_path, data, recipe=tmp_path / "recipe")
    assert applied.diff_id == applied.digest == Digest.of(data)
    assert applied.root
    assert not applied.implied
    assert (root.stat().st_mode & 0o7777, root.stat().st_uid) == (0o1755, 5)
    setuid = (root / "d/setuid").stat()
    assert (setuid.st_mode & 0o7777, setuid.st_uid, setuid.st_gid, setuid.st_nlink) == (0o4755, 100000, 4000000000, 2)
    assert (root / "d").stat().st_mtime == 1000
    assert (root / "d").stat().st_mode & 0o7777 == 0o2711
    assert os.getxattr(root / "d/cap", "security.capability") == capability
    assert (root / "null").stat().st_rdev == os.makedev(1, 3)
    assert os.readlink(root / "sym") == "/etc/passwd"
    assert (root / "sym").lstat().st_uid == 3

    # Packed, and unpacked again: the same tree; packed again: the same bytes.
    out = io.BytesIO()
    packed = pack(root, out.write)
    assert packed.diff_id == Digest.of(out.getvalue()) == pack(root).diff_id
    assert measure(root) == packed.tar_size == len(out.getvalue())
    assert (packed.size, packed.inodes) == (applied.size, applied.inodes)
    again, _ = unpack(tmp_path, out.getvalue(), "again")
    assert listing(again) == listing(root)
    assert pack(again).diff_id == packed.diff_id

    # The recipe prints the very bytes that came.
    exact = bytearray()
    print_tar(tmp_path / "recipe", root, exact.extend)
    assert bytes(exact) == data
    assert measure_source(Source(recipe=tmp_path / "recipe", tree=root)) == len(data)


def test_a_directorys_group_is_not_handed_down(tmp_path: Path) -> None:
    """/usr/local and /var/mail are set-group-ID on Debian: what the tar has in them is root's all the same."""
    tar = Tar().dir("d", mode=0o2775, gid=50).add("d/f", b"1").add("d/l", kind=tarfile.SYMTYPE, link="f").dir("d/e")
    root, _ = unpack(tmp_path, tar.bytes())
    assert [(root / name).lstat().st_gid for name in ("d", "d/f", "d/l", "d/e")] == [50, 0, 0, 0]
    assert stat.S_IMODE((root / "d/e").stat().st_mode) == 0o755


def test_gnu_tar_agrees(tmp_path: Path) -> None:
    data = Tar().dir("a").add("a/b", b"1" * 1000).add("a/c", kind=tarfile.SYMTYPE, link="b").bytes()
    ours, _ = unpack(tmp_path, data)
    out = tmp_path / "packed.tar"
    with open(out, "wb") as file:
        pack(ours, file.write)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    subprocess.run(["tar", "-C", theirs, "-xpf", out], check=True)
    assert listing(theirs) == listing(ours)


@pytest.mark.parametrize(
    ("name", "compress"),
    [
        ("gzip", gzip.compress),
        ("gzip", lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:])),
        ("gzip", lambda data: gzip.compress(data) + bytes(600)),
        ("zstd", zstandard.ZstdCompressor().compress),
        ("zstd", lambda data: b"".join(zstandard.ZstdCompressor().compress(part) for part in (data[:9], data[9:]))),
        ("bzip2", bz2.compress),
        ("xz", lzma.compress),
        ("", bytes),
    ],
)
def test_compressions(tmp_path: Path, name: str, compress: object) -> None:
    plain = Tar().add("f", b"data" * 1000).bytes()
    packed = compress(plain)  # type: ignore[operator]
    root, applied = unpack(tmp_path, packed)
    assert (root / "f").read_bytes() == b"data" * 1000
    assert applied.compression == name
    assert applied.diff_id == Digest.of(plain)
    assert applied.digest == Digest.of(packed)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_cut_or_spoiled_streams(tmp_path: Path, compress: object) -> None:
    packed = compress(Tar().add("f", os.urandom(5000)).bytes())  # type: ignore[operator]
    with pytest.raises(Invalid):
        unpack(tmp_path, packed[:-900], "cut")
    with pytest.raises(Invalid):
        unpack(tmp_path, packed[:2000] + bytes(50) + packed[2050:], "spoiled")


def test_a_bomb_is_bounded(tmp_path: Path) -> None:
    bomb = gzip.compress(Tar().add("f", bytes(8 << 20)).bytes())
    assert len(bomb) < 20000
    with pytest.raises(Invalid, match="limit"):
        unpack(tmp_path, bomb, limit=4 << 20)


def test_a_layer_must_be_the_one_expected(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="diff ID"):
        unpack(tmp_path, Tar().add("f").bytes(), expected=Digest.of(b"other"))


def test_whiteouts_become_overlays(tmp_path: Path) -> None:
    tar = Tar().dir("a").add("a/.wh.gone").dir("b").add("b/.wh..wh..opq").add("b/new", b"1").add(".wh..wh.plnk")
    tar.add("a/.wh.both").dir("a/both").add("a/both/x")  # deleted and made anew: opaque
    tar.dir("a/also").add("a/.wh.also")  # the other way round: the same
    root, _ = unpack(tmp_path, tar.bytes())
    gone = (root / "a/gone").lstat()
    assert stat.S_ISCHR(gone.st_mode)
    assert gone.st_rdev == 0
    for opaque in ("b", "a/both", "a/also"):
        assert os.getxattr(root / opaque, OPAQUE) == b"y"
    assert sorted(os.listdir(root)) == ["a", "b"]
    names = tarfile.TarFile(fileobj=io.BytesIO(_packed(root))).getnames()
    assert names == ["a", "a/also", "a/also/.wh..wh..opq", "a/both", "a/both/.wh..wh..opq", "a/both/x", "a/.wh.gone",
                     "b", "b/.wh..wh..opq", "b/new"]  # fmt: skip


def _packed(root: Path) -> bytes:
    out = io.BytesIO()
    pack(root, out.write)
    return out.getvalue()


def test_whiteouts_of_the_lowest_layer_hide_nothing(tmp_path: Path) -> None:
    root, _ = unpack(tmp_path, Tar().add(".wh.x").add("y").bytes(), whiteouts=Whiteouts.DROP)
    assert os.listdir(root) == ["y"]


def test_whiteouts_delete_in_whole_trees(tmp_path: Path) -> None:
    root = tmp_path / "out"
    (root / "d/sub").mkdir(parents=True)
    for name in ("gone", "d/old", "d/sub/old", "kept"):
        (root / name).write_text("")
    tar = Tar().add(".wh.gone").dir("d").add("d/new").add("d/.wh..wh..opq").add(".wh.never")
    unpack(tmp_path, tar.bytes(), whiteouts=Whiteouts.DELETE)
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == ["d", "d/new", "kept"]


def test_entries_replace_one_another(tmp_path: Path) -> None:
    tar = Tar().add("x", b"file").dir("x").add("x/in", b"1").add("y", b"old").add("y", b"new")
    tar.dir("z").add("z/deep").add("z", kind=tarfile.SYMTYPE, link="y").dir("z")
    root, applied = unpack(tmp_path, tar.bytes(), recipe=tmp_path / "recipe")
    assert (root / "y").read_bytes() == b"new"
    assert (root / "x/in").read_bytes() == b"1"
    assert (root / "z").is_dir()
    assert not (root / "z").is_symlink()
    # Bytes of files that are gone cannot be printed from files: the recipe is the tar itself.
    exact = bytearray()
    print_tar(tmp_path / "recipe", root, exact.extend)
    assert Digest.of(exact) == applied.diff_id


def test_links_within_the_layer_are_followed_within_it(tmp_path: Path) -> None:
    tar = Tar().dir("usr").dir("usr/lib").add("lib", kind=tarfile.SYMTYPE, link="/usr/lib").add("lib/x", b"1")
    root, _ = unpack(tmp_path, tar.bytes())
    assert (root / "usr/lib/x").read_bytes() == b"1"
    assert (root / "lib").is_symlink()


@pytest.mark.parametrize(
    "tar",
    [
        Tar().add("../escape", b"x"),
        Tar().add("a/../../escape", b"x"),
        Tar().dir("d").add("d/../../escape", b"x"),
        Tar().add("l", kind=tarfile.LNKTYPE, link="../escape"),
        Tar().add("s", kind=tarfile.SYMTYPE, link=".").add("s2", kind=tarfile.SYMTYPE, link="s2").add("s2/x", b""),
        Tar().add("f", b"").add("f/x", b""),
        Tar().add(".wh..", b""),
        Tar().add(".wh.", b""),
        Tar().add("d/.wh...", b""),
        Tar().add("l", kind=tarfile.LNKTYPE, link="l"),
        Tar().dir("d").add("l", kind=tarfile.LNKTYPE, link="d"),
        Tar().add("n" * 256, b""),
        Tar().add("/".join(["d"] * 3000), b""),
        Tar().add("/", b"the root as a file"),
        Tar().add("s", kind=tarfile.SYMTYPE, link="x" * 5000),
    ],
)
def test_hostile_archives_are_invalid(tmp_path: Path, tar: Tar) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(Invalid):
        unpack(inner, tar.bytes())
    assert not (tmp_path / "escape").exists()
    assert not (inner / "escape").exists()


def test_links_to_the_outside_lead_nowhere(tmp_path: Path) -> None:
    """Through a symbolic link, absolute or not, nothing outside is written, removed, linked or read."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    before = listing(outside)
    deep = "../" * 20 + str(outside)[1:]
    for number, link in enumerate([str(outside), deep, "/proc/self/root" + str(outside)]):
        tar = Tar().add("s", kind=tarfile.SYMTYPE, link=link)
        tar.add("s/new", b"evil").add("s/.wh.secret").add("s/.wh..wh..opq").dir("s/secret")
        inner = tmp_path / str(number)
        inner.mkdir()
        with contextlib.suppress(Invalid):
            unpack(inner, tar.bytes(), whiteouts=Whiteouts.DELETE)
        assert listing(outside) == before
    root, applied = unpack(tmp_path, Tar().add("l", kind=tarfile.LNKTYPE, link=str(outside / "secret")).bytes(), "x")
    assert applied.links == (("l", str(outside / "secret")[1:]),)
    with pytest.raises(Invalid, match="does not exist"):
        settle(root, [], applied.implied, applied.links)


def test_overlays_own_attributes_are_not_taken(tmp_path: Path) -> None:
    header = {"SCHILY.xattr.trusted.overlay.redirect": "/x", "SCHILY.xattr.user.overlay.opaque": "y"}
    header["SCHILY.xattr.user.mine"] = "1"
    root, _ = unpack(tmp_path, Tar().add("f", b"1", pax_headers=header).bytes())
    assert os.listxattr(root / "f") == ["user.mine"]


def test_what_the_layers_below_have(tmp_path: Path) -> None:
    lower, _ = unpack(
        tmp_path, Tar().dir("d", mode=0o1770, uid=9).add("d/f", b"below", uid=4, mode=0o640).bytes(), "low"
    )
    middle, _ = unpack(tmp_path, Tar().add("q").bytes(), "middle")
    tar = Tar().add("d/new", b"1").add("d/hard", kind=tarfile.LNKTYPE, link="d/f")
    upper, applied = unpack(tmp_path, tar.bytes(), "up")
    assert applied.implied == ("d",)
    settle(upper, [middle, lower], applied.implied, applied.links)
    assert ((upper / "d").stat().st_mode & 0o7777, (upper / "d").stat().st_uid) == (0o1770, 9)
    hard = (upper / "d/hard").stat()
    assert (hard.st_uid, hard.st_mode & 0o777, hard.st_nlink) == (4, 0o640, 2)
    assert (upper / "d/f").read_bytes() == b"below"


def test_many_directories_do_not_exhaust_descriptors(tmp_path: Path) -> None:
    tar = Tar()
    for number in range(700):
        tar.dir(f"d{number}").add(f"d{number}/f", b"x")
    tar.add("deep/" * 200 + "f", b"x")
    root, _ = unpack(tmp_path, tar.bytes())
    assert len(os.listdir(root)) == 701
    assert pack(root).inodes == 1400 + 201


def test_times_are_clamped_in_the_tree_too(tmp_path: Path) -> None:
    root, _ = unpack(tmp_path, Tar().add("old", mtime=50).add("new", mtime=5000).bytes())
    packed = pack(root, epoch=1000)
    assert pack(root).diff_id == packed.diff_id
    assert [int((root / name).stat().st_mtime) for name in ("old", "new")] == [50, 1000]


@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
def test_printing_compressed(tmp_path: Path, compression: str) -> None:
    root, _ = unpack(tmp_path, Tar().add("f", os.urandom(3 << 20)).add("g", bytes(1 << 20)).bytes())
    printed = print_layer(Source(tree=root), tmp_path / "blob", compression, pack(root).diff_id)
    assert printed.digest == Digest.of((tmp_path / "blob").read_bytes())
    again, applied = unpack(tmp_path, (tmp_path / "blob").read_bytes(), "again")
    assert applied.diff_id == printed.diff_id
    assert (applied.compression, applied.tar_size) == (compression, printed.tar_size)
    assert listing(again) == listing(root)
    if compression == "gzip":
        subprocess.run(["gzip", "-t"], stdin=open(tmp_path / "blob", "rb"), check=True)  # noqa: SIM115
    (root / "g").write_bytes(b"")
    with pytest.raises(Internal, match="changed"):
        print_layer(Source(tree=root), tmp_path / "blob", compression, printed.diff_id)


def test_changes_for_people(tmp_path: Path) -> None:
    low = Tar().dir("a", mtime=5).add("a/same").add("a/gone").dir("o").add("o/hidden").dir("way", mtime=5)
    lower, _ = unpack(tmp_path, low.dir("way/to", mtime=5).bytes(), "low")
    up = Tar().dir("a", mtime=6).add("a/same", b"x").add("a/.wh.gone").add("a/.wh.never").add("b", b"1")
    up.dir("o").add("o/.wh..wh..opq").add("o/new").dir("way", mtime=5).dir("way/to", mtime=5).add("way/to/x")
    upper, _ = unpack(tmp_path, up.bytes(), "up")
    assert [f"{kind} {path}" for kind, path in changes(upper, [lower])] == [
        "C /a",
        "D /a/gone",
        "C /a/same",
        "A /b",
        "C /o",
        "D /o/hidden",
        "A /o/new",
        "C /way/to",
        "A /way/to/x",
    ]


NAMES = [
    "a",
    "b",
    "a/b",
    "a/b/c",
    "b/../a",
    "./a/",
    "a/.wh.b",
    ".wh.a",
    "a/.wh..wh..opq",
    "/a/c",
    "b/c",
    "..",
    "a/../..",
]
LINKS = ["a", "b", "../a", "/", "..", "OUTSIDE", "a/b", "b/c", ".", "../" * 30 + "etc/passwd"]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from("0005521"), st.sampled_from(LINKS)), max_size=9),
    st.sampled_from([Whiteouts.KEEP, Whiteouts.DELETE, Whiteouts.DROP]),
)
def test_any_sequence_of_entries_stays_inside(entries: list[tuple[str, str, str]], whiteouts: Whiteouts) -> None:
    """Whatever the order of files, links, directories and whiteouts: nothing outside changes, and what was applied
    prints its exact bytes again."""
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        outside = base / "outside"
        outside.mkdir()
        (outside / "canary").write_text("here")
        before = listing(outside)
        tar = Tar()
        for path, kind, link in entries:
            to = str(outside) if link == "OUTSIDE" else link
            tar.add(path, os.urandom(20) if kind == "0" else b"", kind.encode(), to if kind in "12" else "")
        with contextlib.suppress(Invalid):
            root, applied = unpack(base, tar.bytes(), whiteouts=whiteouts, recipe=base / "recipe")
            exact = bytearray()
            print_tar(base / "recipe", root, exact.extend)
            assert Digest.of(exact) == applied.diff_id
            pack(root)
        assert listing(outside) == before
        assert set(os.listdir(base)) <= {"outside", "out", "out.tar", "recipe"}
