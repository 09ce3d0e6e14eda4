"""The daemon is killed in the middle of an operation: after the restart nothing is half-made, nothing has leaked."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rig.daemon import Daemon
from rig.registry import Registry

Make = Callable[..., Daemon]

# Moments at which the daemon is killed, in seconds after the operation has begun.
MOMENTS = (0.0, 0.01, 0.02, 0.04, 0.08)


def begin(daemon: Daemon, *arguments: str, stdin: bytes | None = None) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        ["docker", *arguments], env=daemon.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
    )  # fmt: skip
    if stdin and process.stdin:
        process.stdin.write(stdin)
        process.stdin.close()
        process.stdin = None
    return process


def finish(process: subprocess.Popen[bytes]) -> None:
    try:
        process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def consistent(daemon: Daemon) -> None:
    """What the API lists, it can inspect; what is left on disk and in the kernel belongs to what is listed."""
    listed = daemon.docker("ps", "-aq", "--no-trunc").stdout.split()
    for container in listed:
        daemon.docker("inspect", container)
    directory = daemon.data_root / "containers"
    deadline = time.monotonic() + 10
    while {path.name for path in directory.iterdir() if len(path.name) == 64} - set(listed):
        assert time.monotonic() < deadline, "a bundle without a container"
        time.sleep(0.1)
    for image in daemon.docker("images", "-aq").stdout.split():
        daemon.docker("inspect", image)
    assert daemon.docker("run", "--rm", "busybox", "echo", "works").stdout == "works\n"


def cgroups(containers: list[str]) -> list[Path]:
    return [path for path in Path("/sys/fs/cgroup").glob("**/corten*/*") if path.name in containers]


def test_create_start_and_remove(own_daemon: Make) -> None:
    daemon = own_daemon()
    for number, moment in enumerate(MOMENTS):
        process = begin(daemon, "run", "--name", f"victim{number}", "busybox", "sleep", "30")
        time.sleep(0.05 + moment)
        daemon.kill()
        finish(process)
        daemon.start()
        consistent(daemon)
    listed = daemon.docker("ps", "-aq", "--no-trunc").stdout.split()
    if listed:
        process = begin(daemon, "rm", "-f", *listed)
        time.sleep(0.03)
        daemon.kill()
        finish(process)
        daemon.start()
        consistent(daemon)
        if left := daemon.docker("ps", "-aq").stdout.split():
            daemon.docker("rm", "-f", *left)
    deadline = time.monotonic() + 10
    while cgroups(listed) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert cgroups(listed) == []


def test_build(own_daemon: Make) -> None:
    daemon = own_daemon()
    dockerfile = b"FROM busybox\n" + b"".join(b"RUN echo %d > /f%d\n" % (n, n) for n in range(8))
    for moment in MOMENTS:
        process = begin(daemon, "build", "-t", "made", "--no-cache", "-", stdin=dockerfile)
        time.sleep(0.06 + moment)
        daemon.kill()
        finish(process)
        daemon.start()
        consistent(daemon)
    daemon.docker("build", "-t", "made", "-", stdin=dockerfile)
    assert daemon.docker("run", "--rm", "made", "cat", "/f7").stdout == "7\n"


@pytest.mark.timeout(200)
def test_push_and_pull(own_daemon: Make, registry: Registry) -> None:
    daemon = own_daemon()
    target = f"{registry.address}/killed/image"
    daemon.docker("build", "-t", target, "-", stdin="FROM busybox\nRUN dd if=/dev/urandom of=/big bs=1M count=24\n")
    for moment in MOMENTS:
        process = begin(daemon, "push", target)
        time.sleep(0.05 + moment * 3)
        daemon.kill()
        finish(process)
        daemon.start()
        consistent(daemon)
    daemon.docker("push", target)
    digest = daemon.docker("run", "--rm", target, "md5sum", "/big").stdout
    for moment in MOMENTS:
        daemon.docker("rmi", "-f", target, check=False)
        process = begin(daemon, "pull", target)
        time.sleep(0.05 + moment * 3)
        daemon.kill()
        finish(process)
        daemon.start()
        consistent(daemon)
    daemon.docker("pull", target)
    assert daemon.docker("run", "--rm", target, "md5sum", "/big").stdout == digest
