"""``corten system check``: after kill -9 amid build, load, prune and pull; and what it finds when it should."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rig.daemon import Daemon
from rig.registry import Registry

Make = Callable[..., Daemon]

# Seconds after the operation has begun at which the daemon is killed.
MOMENTS = (0.03, 0.1, 0.2, 0.35)
DOCKERFILE = "FROM busybox\n" + "".join(
    f"RUN dd if=/dev/urandom of=/big{number} bs=1M count=6 && echo {number}\n" for number in range(4)
)


def killed_during(daemon: Daemon, moment: float, *words: str, stdin: Path | None = None) -> None:
    """Begin a docker command, kill the daemon, start it again; the store must be sound."""
    with (stdin or Path("/dev/null")).open("rb") as given:
        process = subprocess.Popen(
            ["docker", *words], env=daemon.environment, stdin=given,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(moment)
        daemon.kill()
        process.wait(30)
    daemon.start()
    assert faults(daemon) == []


def faults(daemon: Daemon) -> list[dict[str, str]]:
    result = daemon.corten("system", "check", "--format=json", check=False)
    found: list[dict[str, str]] = json.loads(result.stdout)["Faults"]
    assert result.returncode == (1 if found else 0), result.stderr
    return found


@pytest.mark.timeout(240)
def test_the_store_is_sound_whenever_the_daemon_is_killed(own_daemon: Make, registry: Registry, tmp_path: Path) -> None:
    daemon = own_daemon()
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(DOCKERFILE)
    for moment in MOMENTS:
        killed_during(daemon, moment * 2, "build", "--no-cache", "-t", "made", "-", stdin=dockerfile)
    target = f"{registry.address}/killed/store"
    daemon.docker("build", "-t", target, "-", stdin=DOCKERFILE)
    daemon.docker("push", target)
    archive = tmp_path / "made.tar"
    daemon.docker("save", "-o", str(archive), target)
    daemon.docker("rmi", "-f", target)
    for moment in MOMENTS:
        daemon.docker("system", "prune", "-af")
        killed_during(daemon, moment, "load", "-i", str(archive))
    for moment in MOMENTS:
        daemon.docker("load", "-i", str(archive))
        killed_during(daemon, moment / 4, "system", "prune", "-af")
    for moment in MOMENTS:
        daemon.docker("rmi", "-f", target, check=False)
        killed_during(daemon, moment, "pull", target)
    daemon.docker("pull", target)
    assert faults(daemon) == []
    assert daemon.docker("run", "--rm", target, "echo", "works").stdout == "works\n"


def test_what_is_broken_is_found(own_daemon: Make, registry: Registry) -> None:
    daemon = own_daemon()
    target = f"{registry.address}/broken/store"
    daemon.docker("tag", "busybox", target)
    daemon.docker("push", target)
    blobs = daemon.data_root / "content/blobs/sha256"
    layer = max(blobs.iterdir(), key=lambda path: path.stat().st_size)
    with layer.open("r+b") as file:
        file.seek(100)
        file.write(b"changed")
    found = faults(daemon)
    assert [fault["Subject"] for fault in found] == [f"blob sha256:{layer.name}"]
    assert "another digest" in daemon.corten("system", "check", check=False).stdout
    assert daemon.corten("system", "check", "--quick", "-q").stdout == ""
    assert f"removed the corrupt blob sha256:{layer.name}" in daemon.corten("system", "check", "--repair").stdout
    daemon.docker("push", target)
    assert faults(daemon) == []
    program = next((daemon.data_root / "snapshots").glob("*/*/fs/bin/busybox"))
    with program.open("r+b") as file:
        file.seek(5000)
        file.write(b"changed")
    assert any(fault["Subject"].startswith("layer ") for fault in faults(daemon))
