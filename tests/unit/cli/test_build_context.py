"""Build contexts: which files go, in what bytes, and what the words of ``build`` mean."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.cli.buildcontext import archive, ignore, source
from corten.errors import CortenError, Invalid, NotFound


def members(pieces: Iterable[bytes]) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as opened:
        return {member.name: member for member in opened.getmembers()}


@pytest.mark.parametrize(
    ("patterns", "ignored", "kept"),
    [
        (["*.log"], ["a.log"], ["d/a.log", "a.txt"]),
        (["**/*.log"], ["a.log", "d/a.log", "d/e/a.log"], ["a.logs"]),
        (["d"], ["d", "d/x", "d/e/f"], ["dd", "x/d"]),
        (["/d/"], ["d", "d/x"], ["x/d"]),
        (["d/*"], ["d/x", "d/x/y"], ["d"]),
        (["d/**"], ["d/x", "d/x/y"], ["d", "x"]),
        (["**/d"], ["d", "x/d", "x/y/d/z"], ["xd"]),
        (["*", "!keep"], ["a", "b/c"], ["keep", "keep/x"]),
        (["d", "!d/keep", "d/keep/no"], ["d/a", "d/keep/no"], ["d/keep", "d/keep/yes"]),
        (["a?c"], ["abc"], ["ac", "a/c"]),
        (["[a-c].x"], ["b.x"], ["d.x"]),
        (["[^a].x"], ["b.x"], ["a.x"]),
        (["a.c"], ["a.c"], ["abc"]),
        ([r"\*x"], ["*x"], ["ax"]),
        (["a/../b"], ["b"], ["a"]),
        (["(x)+"], ["(x)+"], ["x"]),
    ],
)
def test_patterns(patterns: list[str], ignored: list[str], kept: list[str]) -> None:
    matcher = ignore.Matcher(ignore.read("\n".join(patterns)))
    assert [path for path in ignored if not matcher.ignores(path)] == []
    assert [path for path in kept if matcher.ignores(path)] == []


def test_the_file_has_comments_and_a_mark() -> None:
    assert ignore.read("\ufeff a \n#c\n\n ! b \n/\n/x/\n  # no comment\n") == ["a", "!b", "/", "x", "# no comment"]


def test_bad_pattern() -> None:
    with pytest.raises(Invalid, match="syntax error in pattern"):
        ignore.Matcher(["[a"])


@given(st.text(alphabet="ab/*?[]!^-\\.", max_size=14), st.text(alphabet="ab/.", min_size=1, max_size=10))
def test_any_pattern_matches_or_is_refused(pattern: str, path: str) -> None:
    with contextlib.suppress(Invalid):
        ignore.Matcher(ignore.read(pattern)).ignores(path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "context"
    (root / "d" / "deep").mkdir(parents=True)
    (root / "Dockerfile").write_text("FROM scratch\n")
    (root / "d" / "a.log").write_text("log")
    (root / "d" / "deep" / "keep").write_text("k" * 1000)
    (root / "b").write_bytes(b"b" * 700_000)
    (root / "b").chmod(0o751)
    (root / "link").symlink_to("../nowhere")
    os.mkfifo(root / "fifo")
    return root


def test_the_archive(tree: Path) -> None:
    data = b"".join(archive.stream(str(tree), ignore.Matcher([])))
    found = members([data])
    assert list(found) == ["Dockerfile", "b", "d", "fifo", "link", "d/a.log", "d/deep", "d/deep/keep"]
    assert (found["b"].mode, found["b"].size, found["b"].uid, found["b"].uname) == (0o751, 700_000, 0, "")
    assert found["link"].linkname == "../nowhere" and found["fifo"].isfifo()
    assert len(data) % tarfile.RECORDSIZE == 0
    assert data == b"".join(archive.stream(str(tree), ignore.Matcher([])))


def test_what_is_taken_back_in_below_an_ignored_folder(tree: Path) -> None:
    matcher = ignore.Matcher(["*", "!d/deep/keep"])
    assert list(members(archive.stream(str(tree), matcher))) == ["d/deep/keep"]
    assert list(members(archive.stream(str(tree), ignore.Matcher(["d", "!**/keep"])))) == [
        "Dockerfile",
        "b",
        "fifo",
        "link",
        "d/deep/keep",
    ]


def test_the_daemon_gets_dockerfile_and_ignore_file_even_if_ignored(tree: Path) -> None:
    (tree / ".dockerignore").write_text("*\n")
    found = source.find(str(tree), "")
    assert found.dockerfile == "Dockerfile"
    assert list(members(found.body)) == [".dockerignore", "Dockerfile"]


def test_a_dockerfile_s_own_ignore_file_counts_first(tree: Path) -> None:
    (tree / ".dockerignore").write_text("b\n")
    (tree / "Dockerfile.dockerignore").write_text("d\n")
    assert "b" in members(source.find(str(tree), "").body)
    assert "d" not in members(source.find(str(tree), "").body)


def test_a_dockerfile_outside(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("FROM outside\n")
    found = source.find(str(tree), str(tmp_path / "other"))
    assert found.dockerfile.startswith(".dockerfile.")
    assert found.dockerfile in members(found.body)


def test_a_dockerfile_inside_is_named_from_the_context(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree / "d")
    (tree / "d" / "Other").write_text("FROM scratch\n")
    assert source.find("..", "Other").dockerfile == "d/Other"


class Piped:
    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Piped(b"FROM scratch\n"))
    assert list(members(source.find("-", "").body)) == ["Dockerfile"]
    packed = archive.of_files({"x": b"1", "Dockerfile": b"2"})
    monkeypatch.setattr("sys.stdin", Piped(packed))
    assert b"".join(source.find("-", "").body) == packed


def test_addresses_go_to_the_daemon() -> None:
    assert source.find("https://host/repo.git#main", "").remote == "https://host/repo.git#main"


@pytest.mark.parametrize("words", [("/nowhere", ""), (".", "nowhere"), ("-", "-")])
def test_refused(words: tuple[str, str]) -> None:
    with pytest.raises(CortenError) as refused:
        source.find(*words)
    assert isinstance(refused.value, NotFound | Invalid)
