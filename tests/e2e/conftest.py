"""One daemon for the session, with a busybox image; tests that break daemons start their own."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator

import docker
import pytest

from rig.daemon import Daemon
from rig.registry import Registry

numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/e2e/" in str(item.path):
            item.add_marker("root")


@pytest.fixture(scope="session")
def busybox_archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A ``docker save`` archive of the busybox image, for daemons that start empty."""
    daemon = Daemon(next(numbers))
    daemon.start()
    try:
        daemon.corten("image", "bootstrap", "busybox")
        path = str(tmp_path_factory.mktemp("images") / "busybox.tar")
        daemon.docker("save", "-o", path, "busybox:latest")
        yield path
    finally:
        daemon.remove()


@pytest.fixture(scope="session")
def daemon(busybox_archive: str) -> Iterator[Daemon]:
    """The daemon that most tests share."""
    daemon = Daemon(next(numbers))
    daemon.start()
    try:
        daemon.docker("load", "-i", busybox_archive)
        yield daemon
    finally:
        daemon.remove()


@pytest.fixture(autouse=True)
def containers_are_removed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test made on the shared daemon is gone before the next one."""
    yield
    if "daemon" in request.fixturenames:
        daemon: Daemon = request.getfixturevalue("daemon")
        if left := daemon.docker("ps", "-aq", check=False).stdout.split():
            daemon.docker("rm", "-fv", *left, check=False)


@pytest.fixture
def own_daemon(busybox_archive: str) -> Iterator[Callable[..., Daemon]]:
    """Makes daemons of the test's own, each with the busybox image."""
    made: list[Daemon] = []

    def make(*flags: str) -> Daemon:
        daemon = Daemon(next(numbers), *flags)
        made.append(daemon)
        daemon.start()
        daemon.docker("load", "-i", busybox_archive)
        return daemon

    yield make
    for daemon in made:
        daemon.remove()


@pytest.fixture
def client(daemon: Daemon) -> Iterator[docker.DockerClient]:
    client = daemon.client()
    yield client
    client.close()


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    registry = Registry()
    registry.start()
    yield registry
    registry.remove()


@pytest.fixture(scope="session", autouse=True)
def no_user_configuration() -> Iterator[None]:
    """The docker configuration of whoever runs the tests has no say in them."""
    saved = {name: os.environ.pop(name, None) for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_API_VERSION")}
    yield
    os.environ.update({name: value for name, value in saved.items() if value is not None})
