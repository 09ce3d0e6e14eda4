"""The machine fixture: a place for containers, and the check that nothing of them is left."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.bundles import Machine, cgroup_directories, processes_of, remove_if_empty


@pytest.fixture
def machine() -> Iterator[Machine]:
    if os.getuid() != 0:
        pytest.skip("needs root")
    # /tmp and a short name: the tests' containers must not depend on how deep pytest's own directories lie.
    root = Path(tempfile.mkdtemp(prefix="corten-rt-"))
    group = f"/corten-test-{root.name}"
    try:
        yield Machine(root, group)
        for _ in range(200):
            if not processes_of(group) and not cgroup_directories(group):
                break
            time.sleep(0.02)
        assert processes_of(group) == []
        assert cgroup_directories(group) == []
        assert str(root) not in Path("/proc/mounts").read_text()
    finally:
        for mount in os.listdir("/sys/fs/cgroup"):
            remove_if_empty(Path("/sys/fs/cgroup", mount + group))
        remove_if_empty(Path("/sys/fs/cgroup" + group))
        shutil.rmtree(root, ignore_errors=True)
