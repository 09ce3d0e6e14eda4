"""``--userns=auto``: a range of ids of the container's own, and everything else as without."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from rig.daemon import Daemon


@pytest.fixture
def mapped(daemon: Daemon) -> Iterator[str]:
    """A running container with a user namespace, and its root's number outside."""
    daemon.corten("run", "-d", "--name", "mapped", "--userns=auto", "busybox", "sh", "-c", "sleep 300")
    yield "mapped"


def inside(daemon: Daemon, script: str, *options: str) -> str:
    result = daemon.corten("run", "--rm", "--userns=auto", *options, "busybox", "sh", "-c", script, check=False)
    return result.stdout + result.stderr


def pid_of(daemon: Daemon, name: str) -> int:
    return int(daemon.docker("inspect", "-f", "{{.State.Pid}}", name).stdout)


def host_uid(pid: int) -> int:
    return os.stat(f"/proc/{pid}").st_uid


def test_ranges(daemon: Daemon) -> None:
    """Root inside is nobody outside, and each container somebody else."""
    bases = set()
    for name in ("one", "two"):
        daemon.corten("run", "-d", "--name", name, "--userns=auto", "busybox", "sleep", "300")
        uid_map = Path(f"/proc/{pid_of(daemon, name)}/uid_map").read_text().split()
        assert uid_map[0] == "0" and uid_map[2] == "65536"
        assert Path(f"/proc/{pid_of(daemon, name)}/gid_map").read_text().split() == uid_map
        bases.add(int(uid_map[1]))
        assert host_uid(pid_of(daemon, name)) == int(uid_map[1])
        assert daemon.corten("exec", name, "id", "-u").stdout == "0\n"
    assert len(bases) == 2 and min(bases) >= 1 << 16


def test_the_image_belongs_to_root_inside_without_a_chown(daemon: Daemon, mapped: str) -> None:
    lower = daemon.docker("inspect", "-f", "{{.GraphDriver.Data.LowerDir}}", mapped).stdout.split(":")[0].strip()
    before = os.stat(f"{lower}/bin")
    assert daemon.corten("exec", mapped, "stat", "-c", "%u:%g", "/bin", "/bin/busybox").stdout == "0:0\n0:0\n"
    after = os.stat(f"{lower}/bin")
    assert (before.st_uid, before.st_ctime_ns) == (0, after.st_ctime_ns)


def test_what_it_writes_is_unshifted_on_disk(daemon: Daemon, mapped: str) -> None:
    daemon.corten(
        "exec", mapped, "sh", "-c", "touch /of-root; touch /of-33; chown 33:34 /of-33; rm -r /home; rm /bin/vi"
    )
    upper = Path(daemon.docker("inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", mapped).stdout.strip())
    assert [(upper / name).stat().st_uid for name in ("of-root", "of-33")] == [0, 33]
    assert "D /home" in daemon.docker("diff", mapped).stdout
    daemon.docker("restart", "-t", "0", mapped)
    listed = daemon.corten("exec", mapped, "sh", "-c", "stat -c %u:%g /of-33; ls /home /bin/vi || true").stdout
    assert listed == "33:34\n"


@pytest.mark.parametrize("kind", ["bind", "volume"])
def test_binds_and_volumes(daemon: Daemon, tmp_path: Path, kind: str) -> None:
    (tmp_path / "given").write_text("host")
    os.chown(tmp_path / "given", 33, 34)
    source = str(tmp_path) if kind == "bind" else "shifted"
    output = inside(daemon, "touch /m/mine; ls -ln /m | awk '{print $3 \":\" $4}'", "-v", f"{source}:/m")
    assert "0:0" in output and "65534" not in output
    if kind == "bind":
        assert "33:34" in output
        assert (tmp_path / "mine").stat().st_uid == 0
    else:
        daemon.docker("volume", "rm", "shifted")


def test_read_only_binds_stay_so(daemon: Daemon, tmp_path: Path) -> None:
    assert "Read-only" in inside(daemon, "touch /m/x", "-v", f"{tmp_path}:/m:ro")


def test_copy_commit_and_export(daemon: Daemon, mapped: str, tmp_path: Path) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        info = tarfile.TarInfo("copied")
        info.uid, info.gid = 12, 13
        tar.addfile(info)
    daemon.corten("cp", "-", f"{mapped}:/", stdin=made.getvalue())
    assert daemon.corten("exec", mapped, "stat", "-c", "%u:%g", "/copied").stdout == "12:13\n"
    chunks, _ = daemon.client().api.get_archive(mapped, "/copied")
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        assert (tar.getmembers()[0].uid, tar.getmembers()[0].gid) == (12, 13)
    daemon.docker("commit", mapped, "committed")
    try:
        assert daemon.docker("run", "--rm", "committed", "stat", "-c", "%u:%g", "/copied").stdout == "12:13\n"
    finally:
        daemon.docker("rmi", "committed")
    daemon.docker("stop", "-t", "0", mapped)
    chunks, _ = daemon.client().api.get_archive(mapped, "/copied")
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        assert tar.getmembers()[0].uid == 12


def test_rights_inside_end_at_the_border(daemon: Daemon) -> None:
    """Capabilities hold over the container's own namespaces and nothing else."""
    output = inside(daemon, "ip link set lo down && echo own-network", "--cap-add", "NET_ADMIN")
    assert "own-network" in output
    tries = ("echo 1 > /proc/sys/vm/drop_caches", "mknod /n c 1 3", "chmod 600 /dev/null", "dmesg -c")
    output = inside(daemon, "; ".join(f"{attempt} && echo BROKEN-OUT" for attempt in tries), "--cap-add", "ALL")
    assert "BROKEN-OUT" not in output
    assert os.stat("/dev/null").st_mode & 0o777 == 0o666


def test_streams_belong_to_the_user(daemon: Daemon, mapped: str) -> None:
    for user in ("0", "1000"):
        assert inside(daemon, "echo fine > /dev/stdout; id -u", "-u", user) == f"fine\n{user}\n"
        result = daemon.corten("exec", "-u", user, mapped, "sh", "-c", "echo fine > /dev/stderr")
        assert result.stderr == "fine\n"
    assert os.stat("/dev/null").st_uid != 1000, "the host's own was given away"


def test_limits_and_score(daemon: Daemon) -> None:
    output = inside(
        daemon, "ulimit -n; cat /proc/self/oom_score_adj", "--ulimit", "nofile=333", "--oom-score-adj", "77"
    )
    assert output == "333\n77\n"


def test_network_ports_and_names(daemon: Daemon) -> None:
    daemon.corten("run", "-d", "--name", "web", "--userns=auto", "-p", "127.0.0.1:0:80", "busybox", "sh", "-c",
                  "echo hello > /index.html; httpd -f -p 80 -h /")  # fmt: skip
    port = daemon.docker("port", "web", "80").stdout.strip()
    for _ in range(100):
        got = daemon.run("busybox", "wget", "-qO-", f"http://{port}/index.html", check=False)
        if got.stdout == "hello\n":
            break
    assert got.stdout == "hello\n"


@pytest.mark.parametrize(
    "options", [["--network=host"], ["--pid=host"], ["--ipc=host"], ["--privileged"], ["--ipc=shareable"]], ids=str
)
def test_what_cannot_go_together_is_refused(daemon: Daemon, options: list[str]) -> None:
    result = daemon.corten("run", "--rm", "--userns=auto", *options, "busybox", "true", check=False)
    assert result.returncode == 125 and "user namespaces" in result.stderr


def test_a_bind_that_cannot_be_mapped_is_told(daemon: Daemon) -> None:
    result = daemon.corten("run", "--rm", "--userns=auto", "-v", "/proc:/host-proc", "busybox", "true", check=False)
    assert result.returncode == 125 and "id-mapped" in result.stderr and "/proc" in result.stderr


def test_as_the_daemons_default(own_daemon: Callable[..., Daemon]) -> None:
    daemon = own_daemon("--userns-default", "auto")
    assert daemon.docker("run", "--rm", "busybox", "cat", "/proc/self/uid_map").stdout.split()[1] != "0"
    assert (
        daemon.docker("run", "--rm", "--userns=host", "busybox", "cat", "/proc/self/uid_map").stdout.split()[1] == "0"
    )
    daemon.docker("run", "-d", "--name", "stays", "busybox", "sleep", "300")
    base = Path(f"/proc/{pid_of(daemon, 'stays')}/uid_map").read_text()
    daemon.kill()
    daemon.start()
    assert daemon.docker("exec", "stays", "id", "-u").stdout == "0\n"
    daemon.docker("restart", "-t", "0", "stays")
    assert Path(f"/proc/{pid_of(daemon, 'stays')}/uid_map").read_text() == base, "a container keeps its range"


def test_inspect_says_so(client: docker.DockerClient, mapped: str) -> None:
    assert client.containers.get(mapped).attrs["HostConfig"]["UsernsMode"] == "auto"
