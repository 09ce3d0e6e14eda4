"""One daemon for these tests, with a busybox image."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from rig.daemon import Daemon


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/integration/daemon/" in str(item.path):
            item.add_marker("root")


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = Daemon(90, "-H", "tcp://127.0.0.1:0")
    made.start()
    try:
        made.corten("image", "bootstrap", "busybox")
        yield made
    finally:
        made.remove()


@pytest.fixture(autouse=True)
def containers_are_removed(daemon: Daemon) -> Iterator[None]:
    yield
    if left := daemon.docker("ps", "-aq", check=False).stdout.split():
        daemon.docker("rm", "-fv", *left, check=False)
