"""What ext4 is told about directories, on the file system that the tests run on and on one that knows no such thing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from corten.kernel.ext4 import spread


def file_system(path: Path) -> str:
    return subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(shutil.which("lsattr") is None, reason="no lsattr")
def test_a_directory_becomes_the_top_of_unrelated_ones(tmp_path: Path) -> None:
    if file_system(tmp_path) != "ext2/ext3":
        pytest.skip("not on ext4")
    spread(tmp_path)
    spread(tmp_path)
    found = subprocess.run(["lsattr", "-d", tmp_path], capture_output=True, text=True, check=True).stdout
    assert "T" in found.split()[0]


def test_other_file_systems_are_left_alone() -> None:
    if file_system(Path("/dev/shm")) != "tmpfs":
        pytest.skip("no tmpfs at /dev/shm")
    spread("/dev/shm")
