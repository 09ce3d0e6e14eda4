"""Files and directories made elsewhere and moved: with a clock that says what is slow."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.kernel.ext4 import SLOW_NS
from corten.store.layers.beds import PATIENCE, Beds

HOW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "tree").mkdir()
    fd = os.open(tmp_path / "tree", os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def slow() -> int:
    """A clock by which everything is slow."""
    return next(_ticks)


_ticks = itertools.count(0, 2 * SLOW_NS)


def write(beds: Beds, name: str, parent: int, above: str) -> None:
    fd = beds.create(name, HOW, 0o640, parent, above)
    os.write(fd, name.encode())
    os.close(fd)


def test_what_is_quick_is_made_in_place(tmp_path: Path, tree: int) -> None:
    with Beds(tmp_path / "beds", tree, clock=lambda: 0) as beds:
        for number in range(3 * PATIENCE):
            beds.mkdir(f"d{number}", 0o700, tree)
            write(beds, f"f{number}", tree, "")
        assert not (tmp_path / "beds").exists()
    assert len(os.listdir(tmp_path / "tree")) == 6 * PATIENCE


def test_what_is_slow_comes_from_a_bed(tmp_path: Path, tree: int) -> None:
    tried: list[Path] = []

    def is_good(path: Path) -> bool:
        tried.append(path)
        return len(tried) > 2

    with Beds(tmp_path / "beds", tree, clock=slow, is_good=is_good) as beds:
        for number in range(3 * PATIENCE):
            beds.mkdir(f"d{number}", 0o700, tree)
            write(beds, f"f{number}", tree, "")
        assert len(tried) > 2
        assert tried[-1].exists()
        with pytest.raises(FileExistsError):
            beds.mkdir("d0", 0o700, tree)
        with pytest.raises(FileExistsError):
            beds.mkdir("f0", 0o700, tree)
        with pytest.raises(FileExistsError):
            beds.create("d0", HOW, 0o600, tree, "")
    assert not (tmp_path / "beds").exists()
    names = os.listdir(tmp_path / "tree")
    assert sorted(names) == sorted(f"{kind}{number}" for kind in "df" for number in range(3 * PATIENCE))
    for number in range(3 * PATIENCE):
        assert (tmp_path / f"tree/f{number}").read_text() == f"f{number}"
        assert (tmp_path / f"tree/d{number}").is_dir()


def test_where_all_ground_is_bad_everything_is_made_in_place(tmp_path: Path, tree: int) -> None:
    tries: list[Path] = []

    def is_good(path: Path) -> bool:
        tries.append(path)
        return False

    with Beds(tmp_path / "beds", tree, clock=slow, is_good=is_good) as beds:
        for number in range(100):
            beds.mkdir(f"d{number}", 0o700, tree)
        assert not (tmp_path / "beds").exists()
    assert len(tries) < 10
    assert len(os.listdir(tmp_path / "tree")) == 100


def test_without_a_place_for_beds_nothing_changes(tmp_path: Path, tree: int) -> None:
    with Beds(None, tree, clock=slow) as beds:
        for number in range(3 * PATIENCE):
            beds.mkdir(f"d{number}", 0o700, tree)
    assert os.listdir(tmp_path) == ["tree"]
