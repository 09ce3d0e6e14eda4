"""Detached overlay mounts with many layers, by each of the ways that kernels know."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from corten.kernel import overlay

pytestmark = pytest.mark.root

Way = Callable[[Sequence[overlay.Setting]], int]


def layers(root: Path, count: int) -> str:
    for number in range(count):
        (root / f"l{number}").mkdir()
        (root / f"l{number}" / f"f{number}").write_text(str(number))
    return ":".join(str(root / f"l{number}") for number in range(count))


@pytest.mark.parametrize(
    "way", [overlay.detached, lambda options: overlay._through_a_directory(options, 0)], ids=["detached", "page"]
)
def test_many_layers(tmp_path: Path, way: Way) -> None:
    lowerdir = layers(tmp_path, 20)
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    fd = way([("lowerdir", lowerdir), ("upperdir", str(tmp_path / "upper")), ("workdir", str(tmp_path / "work"))])
    try:
        assert sorted(os.listdir(f"/proc/self/fd/{fd}")) == sorted(f"f{number}" for number in range(20))
        os.close(os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    finally:
        os.close(fd)
    assert (tmp_path / "upper" / "new").exists()
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_what_an_old_kernel_cannot_is_said(tmp_path: Path) -> None:
    lowerdir = ":".join([f"{tmp_path}/a-rather-long-name-{number}" for number in range(200)])
    with pytest.raises(OSError, match="too many layers") as caught:
        overlay._through_a_directory([("lowerdir", lowerdir)], 0)
    assert caught.value.errno == errno.E2BIG
