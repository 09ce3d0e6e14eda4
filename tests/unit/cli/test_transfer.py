"""``cp``: where things go, and archives that want to go elsewhere."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from corten.cli.transfer import pack, plan, unpack
from corten.errors import CortenError, Invalid, NotFound

FOLDER, FILE, NOTHING = plan.Kind(True, True), plan.Kind(True, False), plan.Kind(False, False)


@pytest.mark.parametrize(
    ("source", "is_folder", "destination", "found", "expected"),
    [
        ("/s/f", False, "/d", FOLDER, ("/d", "f")),
        ("/s/f", False, "/d/g", FILE, ("/d", "g")),
        ("/s/f", False, "/d/g", NOTHING, ("/d", "g")),
        ("/s", True, "/d", FOLDER, ("/d", "s")),
        ("/s/", True, "/d", FOLDER, ("/d", "s")),
        ("/s/.", True, "/d", FOLDER, ("/d", "")),
        ("/s", True, "/d/new", NOTHING, ("/d", "new")),
        ("/s", True, "/d/new/", NOTHING, ("/d", "new")),
        ("/s/.", True, "/d/new", NOTHING, ("/d", "new")),
        ("s", False, "new", NOTHING, (".", "new")),
        ("/s", True, "/d", FILE, "cannot copy directory"),
        ("/s", False, "/d/", FILE, "not a directory"),
        ("/s", False, "/d/", NOTHING, "no such directory"),
        ("/s/", False, "/d", FOLDER, "not a directory"),
    ],
)
def test_plan(
    source: str, is_folder: bool, destination: str, found: plan.Kind, expected: tuple[str, str] | str
) -> None:
    if isinstance(expected, str):
        with pytest.raises(CortenError, match=expected):
            plan.target(source, is_folder, destination, found)
    else:
        assert plan.target(source, is_folder, destination, found) == expected


@pytest.mark.parametrize(
    ("word", "parts"),
    [("c:/x", ("c", "/x")), ("c:x", ("c", "x")), ("./c:x", ("", "./c:x")), ("/a:b", ("", "/a:b")), ("x", ("", "x"))],
)
def test_split(word: str, parts: tuple[str, str]) -> None:
    assert plan.split(word) == parts


def tar(*members: tuple[str, bytes, str]) -> list[bytes]:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind, extra in members:
            member = tarfile.TarInfo(name)
            member.type, member.mode = kind, 0o755
            if kind == tarfile.REGTYPE:
                member.size = len(extra)
                archive.addfile(member, io.BytesIO(extra.encode()))
            else:
                member.linkname = extra
                archive.addfile(member)
    return [out.getvalue()]


def test_there_and_back(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "file").write_text("content")
    (source / "link").symlink_to("sub/file")
    size = unpack.extract(pack.stream(str(source), "source"), plan.Target(str(tmp_path), "copy"), "source")
    assert (tmp_path / "copy" / "link").read_text() == "content" and size > 0
    unpack.extract(pack.stream(str(source), "source"), plan.Target(str(tmp_path / "copy"), ""), "source")
    assert (tmp_path / "copy" / "sub" / "file").read_text() == "content"


@pytest.mark.parametrize(
    "members",
    [
        [("d/../../evil", tarfile.REGTYPE, "x")],
        [("d", tarfile.SYMTYPE, "/tmp"), ("d/evil", tarfile.REGTYPE, "x")],
        [("d", tarfile.DIRTYPE, ""), ("d/l", tarfile.SYMTYPE, ".."), ("d/l/evil", tarfile.REGTYPE, "x")],
        [("d", tarfile.DIRTYPE, ""), ("d/h", tarfile.LNKTYPE, "../../etc/passwd")],
        [("d", tarfile.DIRTYPE, ""), ("d/dev", tarfile.CHRTYPE, "")],
    ],
)
def test_hostile(tmp_path: Path, members: list[tuple[str, bytes, str]]) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    with pytest.raises(Invalid):
        unpack.extract(tar(*members), plan.Target(str(inside), "d"), "d")
    assert not list(tmp_path.rglob("evil"))


def test_a_missing_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(pack.stream(str(tmp_path / "none"), "x"))
    assert issubclass(NotFound, CortenError)
