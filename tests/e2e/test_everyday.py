"""Small things that scripts lean on, each found by typing the same words at dockerd and at Corten."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from rig.daemon import Daemon


@pytest.fixture
def sleeper(daemon: Daemon) -> str:
    daemon.docker("run", "-d", "--name", "sleeper", "busybox", "sleep", "1000")
    return "sleeper"


@pytest.fixture
def network(daemon: Daemon) -> Iterator[str]:
    daemon.docker("network", "create", "everyday")
    yield "everyday"
    daemon.docker("rm", "-f", "sleeper", check=False)
    daemon.docker("network", "rm", "everyday")


def refusal(daemon: Daemon, *words: str) -> str:
    result = daemon.docker(*words, check=False)
    assert result.returncode != 0
    return result.stderr


def test_the_first_group_is_among_the_others(daemon: Daemon, sleeper: str) -> None:
    show = ("grep", "Groups", "/proc/self/status")
    run = daemon.docker("run", "--rm", "--user", "1000:2000", "--group-add", "7", "busybox", *show).stdout
    assert run.split() == ["Groups:", "7", "2000"]
    assert daemon.docker("exec", "-u", "1:5", sleeper, *show).stdout.split() == ["Groups:", "5"]


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        ("could not get container for nosuch: No such container: nosuch", ("--link", "nosuch:x")),
        ("No such container: nosuch", ("--volumes-from", "nosuch")),
        ("error looking up volume plugin nosuch", ("--volume-driver", "nosuch", "-v", "some:/x")),
    ],
)
def test_what_is_not_there_is_not_taken_for_the_image(daemon: Daemon, words: str, flags: tuple[str, ...]) -> None:
    said = refusal(daemon, "run", "--rm", *flags, "busybox", "true")
    assert words in said
    assert "Unable to find image" not in said


def test_programs_know_that_they_are_in_a_container(daemon: Daemon, sleeper: str) -> None:
    daemon.docker("exec", sleeper, "test", "-f", "/.dockerenv")
    daemon.docker("exec", sleeper, "touch", "/mine")
    assert daemon.docker("diff", sleeper).stdout == "A /mine\n"
    daemon.docker("commit", sleeper, "everyday")
    try:
        assert exported(daemon, "everyday") == ["mine"], "places to mount on are not the image's"
    finally:
        daemon.docker("rmi", "everyday")


def exported(daemon: Daemon, image: str) -> list[str]:
    """The names in the last layer of an image."""
    saved = subprocess.run(["docker", "save", image], env=daemon.environment, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        manifest = json.loads(archive.extractfile("manifest.json").read())  # type: ignore[union-attr]
        layer = archive.extractfile(manifest[0]["Layers"][-1])
        with tarfile.open(fileobj=layer) as files:
            return files.getnames()


def test_archive_mode_keeps_the_owners(daemon: Daemon, sleeper: str, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("x")
    os.chown(tmp_path / "tree" / "file", 1234, 2345)
    for cli in (daemon.docker, daemon.corten):
        cli("cp", "-a", f"{tmp_path}/tree", f"{sleeper}:/there")
        assert daemon.docker("exec", sleeper, "stat", "-c", "%u:%g", "/there/file").stdout == "1234:2345\n"


def test_exec_in_a_directory_that_is_not_there(daemon: Daemon, sleeper: str) -> None:
    assert daemon.docker("exec", "-w", "/nope", sleeper, "pwd", check=False).returncode == 127
    assert daemon.docker("exec", "-w", "/etc/passwd", sleeper, "pwd", check=False).returncode == 128


def test_networks_that_are_no_meeting_places(daemon: Daemon, sleeper: str, network: str) -> None:
    assert "connected to host network" in refusal(daemon, "network", "connect", "host", sleeper)
    assert "in private (none) mode" in refusal(daemon, "network", "connect", "none", sleeper)
    assert "endpoint gone not found" in refusal(daemon, "network", "disconnect", "-f", network, "gone")


def test_a_configuration_in_use_stays(daemon: Daemon) -> None:
    daemon.docker("network", "create", "--config-only", "settings")
    daemon.docker("network", "create", "--config-from", "settings", "settled")
    try:
        said = refusal(daemon, "network", "rm", "settings")
        assert 'configuration network "settings" is in use' in said
    finally:
        daemon.docker("network", "rm", "settled", "settings")


def test_sharing_mounts_of_what_is_not_shared(daemon: Daemon, tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "corten-test", tmp_path], check=True)
    try:
        subprocess.run(["mount", "--make-private", tmp_path], check=True)
        for mode, words in (("rshared", "a shared mount"), ("slave", "a shared or slave mount")):
            said = refusal(daemon, "run", "--rm", "-v", f"{tmp_path}:/x:{mode}", "busybox", "true")
            assert f"path {tmp_path} is mounted on {tmp_path} but it is not {words}" in said
        subprocess.run(["mount", "--make-shared", tmp_path], check=True)
        daemon.docker("run", "--rm", "-v", f"{tmp_path}:/x:rslave", "busybox", "true")
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_words_of_what_is_not_there(daemon: Daemon) -> None:
    assert "connect: connection refused" in refusal(daemon, "import", "http://127.0.0.1:1/x.tar", "everyday")
    assert 'create some: invalid option: "bogus"' in refusal(daemon, "volume", "create", "-o", "bogus=1", "some")


def test_kernel_parameters_are_the_containers_own(client: docker.DockerClient) -> None:
    shown = client.containers.run(
        "busybox", ["cat", "/proc/sys/net/core/somaxconn"], sysctls={"net.core.somaxconn": 77}
    )
    assert shown == b"77\n"
    with pytest.raises(docker.errors.APIError, match="not in a separate kernel namespace"):
        client.containers.run("busybox", ["true"], sysctls={"kernel.core_pattern": "core"})


def test_a_name_that_could_be_an_id(daemon: Daemon) -> None:
    daemon.docker("tag", "busybox", "db")
    assert daemon.docker("rmi", "db").stdout == "Untagged: db:latest\n"
