"""A hostile tree keeps its links to itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corten.kernel.paths import Root, split


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "root").mkdir()
    return tmp_path


def test_links_cannot_leave(outside: Path) -> None:
    root_path = outside / "root"
    os.symlink(str(outside / "secret"), root_path / "absolute")
    os.symlink("../../../../../../.." + str(outside / "secret"), root_path / "relative")
    os.symlink("/", root_path / "up")
    with Root.at(root_path) as root:
        for path in ("/absolute", "/relative", "/up/../../secret", "/../secret", "../../secret"):
            with pytest.raises(FileNotFoundError):
                root.read_bytes(path)
        os.close(root.mkdirs("/up/made/here"))
        root.write_bytes("/up/made/here/file", b"1")
    assert (root_path / "made/here/file").read_bytes() == b"1"
    assert sorted(os.listdir(outside)) == ["root", "secret"]


def test_dangling_links_are_followed_inside(outside: Path) -> None:
    root_path = outside / "root"
    os.symlink("/run", root_path / "var-run")
    with Root.at(root_path) as root:
        os.close(root.mkdirs("/var-run/app"))
        os.close(root.ensure_file("/var-run/app/socket"))
        assert root.realpath("/var-run/app") == "/run/app"
        assert root.readlink("/var-run") == "/run"
        assert root.list("/run/app") == ["socket"]


def test_loops_fail(outside: Path) -> None:
    os.symlink("b", outside / "root/a")
    os.symlink("a", outside / "root/b")
    with Root.at(outside / "root") as root, pytest.raises(OSError, match="symbolic links"):
        root.mkdirs("/a/x")


def test_removal_does_not_follow(outside: Path) -> None:
    (outside / "kept").mkdir()
    (outside / "kept/file").write_text("kept")
    (outside / "root/dir").mkdir()
    os.symlink(outside / "kept", outside / "root/dir/link")
    with Root.at(outside / "root") as root:
        root.rmtree("/dir")
        assert not root.exists("/dir")
    assert (outside / "kept/file").exists()


def test_fifos_are_refused(outside: Path) -> None:
    os.mkfifo(outside / "root/fifo")
    with Root.at(outside / "root") as root, pytest.raises(OSError, match="not a regular file"):
        root.read_bytes("/fifo")


@pytest.mark.parametrize(
    ("path", "parts"),
    [("/a/b", ("/a", "b")), ("a", ("/", "a")), ("/", ("/", ".")), ("/a/b/", ("/a", "b")), ("/a/..", ("/a/..", "."))],
)
def test_split(path: str, parts: tuple[str, str]) -> None:
    assert split(path) == parts


parts = st.lists(st.sampled_from(["..", ".", "a", "b", "up", "abs", "x"]), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(parts, max_size=5))
def test_no_path_escapes(tmp_path_factory: pytest.TempPathFactory, paths: list[list[str]]) -> None:
    outside = tmp_path_factory.mktemp("tree")
    root_path = outside / "deep" / "root"
    root_path.mkdir(parents=True)
    os.symlink("../../..", root_path / "up")
    os.symlink("/", root_path / "abs")
    before = sorted(os.listdir(outside)) + sorted(os.listdir(outside / "deep"))
    with Root.at(root_path) as root:
        for each in paths:
            path = "/".join(each)
            try:
                os.close(root.mkdirs(path))
                os.close(root.ensure_file(path + "/f"))
            except OSError:
                continue
            assert root.realpath(path).startswith("/")
    assert sorted(os.listdir(outside)) + sorted(os.listdir(outside / "deep")) == before
