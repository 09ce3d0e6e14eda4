"""`--runtime runc`: everything that a container of our own can do, by the real runc; and nothing of it stays behind."""

from __future__ import annotations

import glob
import os
import shutil
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rig.daemon import Daemon

pytestmark = pytest.mark.skipif(shutil.which("runc") is None, reason="runc is not installed: scripts/install-packages")


def until(true: Callable[[], bool], what: str) -> None:
    for _ in range(200):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError(what)


def by_runc(daemon: Daemon, *arguments: str, check: bool = True, stdin: str | bytes | None = None) -> str:
    result = daemon.docker("run", "--runtime", "runc", *arguments, check=check, stdin=stdin)
    return result.stdout + result.stderr


def traces(daemon: Daemon, container_id: str) -> list[str]:
    """What of a container that has ended can be found outside its own directory."""
    found = glob.glob(f"{daemon.exec_root}/runtimes/*/{container_id}")
    found += [
        path for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/*") for path in glob.glob(f"{root}/corten/{container_id}")
    ]
    for path in glob.glob("/proc/[0-9]*/mountinfo"):
        try:
            text = Path(path).read_text()
        except OSError:
            continue
        found += [path] if f"{container_id}/rootfs" in text else []
    return found


def leaves_nothing(daemon: Daemon, container_id: str) -> None:
    until(lambda: not traces(daemon, container_id), f"left behind: {traces(daemon, container_id)}")


def pid_of(daemon: Daemon, name: str) -> int:
    return int(daemon.docker("inspect", "-f", "{{.State.Pid}}", name).stdout)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def state_of(daemon: Daemon, name: str) -> str:
    return daemon.docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name).stdout.strip()


@pytest.fixture
def server(daemon: Daemon) -> Iterator[str]:
    """A running container that answers SIGTERM."""
    script = "trap 'echo bye; exit 3' TERM; echo out; echo err >&2; while :; do sleep 0.05; done"
    by_runc(
        daemon,
        "-d",
        "--name",
        "rserver",
        "-m",
        "64m",
        "--cpus",
        "0.5",
        "--pids-limit",
        "99",
        "busybox",
        "sh",
        "-c",
        script,
    )
    yield "rserver"


def test_it_is_registered_and_used(daemon: Daemon, server: str) -> None:
    info = daemon.docker("info", "-f", "{{.Runtimes.runc.Path}} {{.DefaultRuntime}}").stdout.split()
    assert info == [shutil.which("runc"), "corten"]
    container_id = daemon.docker("inspect", "-f", "{{.Id}}", server).stdout.strip()
    assert (daemon.exec_root / "runtimes/runc" / container_id / "state.json").exists()
    assert daemon.docker("inspect", "-f", "{{.HostConfig.Runtime}}", server).stdout.strip() == "runc"


def test_a_name_that_nobody_registered(daemon: Daemon) -> None:
    result = daemon.docker("run", "--rm", "--runtime", "no-such", "busybox", "true", check=False)
    assert result.returncode == 125 and "unknown or invalid runtime name: no-such" in result.stderr


@pytest.mark.parametrize(
    ("program", "code", "words"),
    [("no-such", 127, "executable file not found in $PATH"), ("/etc/passwd", 126, "permission denied")],
)
def test_what_cannot_be_executed(daemon: Daemon, program: str, code: int, words: str) -> None:
    result = daemon.docker("run", "--runtime", "runc", "--name", "bad", "busybox", program, check=False)
    assert result.returncode == code
    assert "OCI runtime create failed: runc create failed: unable to start container process: exec: " in result.stderr
    assert words in result.stderr
    assert state_of(daemon, "bad") == f"created {code}"
    leaves_nothing(daemon, daemon.docker("inspect", "-f", "{{.Id}}", "bad").stdout.strip())


def test_exit_codes_and_streams(daemon: Daemon) -> None:
    result = daemon.docker(
        "run", "--rm", "--runtime", "runc", "busybox", "sh", "-c", "echo a; echo b >&2; exit 7", check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (7, "a\n", "b\n")
    assert by_runc(daemon, "--rm", "-i", "busybox", "cat", stdin="through\n") == "through\n"
    assert "/dev/pts/0" in by_runc(daemon, "--rm", "-t", "busybox", "tty")


def test_it_is_the_same_container_as_by_our_own(daemon: Daemon) -> None:
    """Capabilities, filter, limits, user, mounts, masks: what our spec leaves implicit was written out in full."""
    script = (
        "grep -E 'Cap|NoNew|Seccomp:' /proc/self/status; id; env | sort; umask; ulimit -n; cat /proc/1/oom_score_adj; "
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; head -c9 /proc/keys; ls /sys/firmware; touch /x /v/x; "
        "grep -c ' /v ' /proc/mounts; ls /dev | grep -vx core; df -k /dev/shm | tail -1; cat /etc/hostname; pwd"
    )
    options = [
        "--rm", "-h", "same", "-u", "33:44", "--group-add", "55", "--cap-drop", "CHOWN", "--read-only", "-w", "/tmp",
        "--ulimit", "nofile=100:200", "--tmpfs", "/v:mode=1777", "--shm-size", "5m", "-e", "X=1",
        "--security-opt", "no-new-privileges",
    ]  # fmt: skip
    ours, theirs = (
        daemon.docker("run", "--runtime", name, *options, "busybox", "sh", "-c", script, check=False)
        for name in ("corten", "runc")
    )
    assert ours.stdout == theirs.stdout and ours.stderr == theirs.stderr


def test_execs(daemon: Daemon, server: str) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        result = daemon.docker("exec", *arguments, check=False)
        return result.returncode, result.stdout + result.stderr

    assert run(server, "sh", "-c", "echo here; exit 5") == (5, "here\n")
    assert run("-u", "33", "-w", "/tmp", "-e", "X=1", server, "sh", "-c", "id -u; pwd; echo $X") == (0, "33\n/tmp\n1\n")
    assert run("-t", server, "tty") == (0, "/dev/pts/0\r\n")
    assert daemon.docker("exec", "-i", server, "cat", stdin="x" * 300_000).stdout == "x" * 300_000
    code, text = run(server, "no-such")
    assert code == 127 and "OCI runtime exec failed: exec failed: unable to start container process: exec: " in text
    assert run(server, "/etc/passwd")[0] == 126
    assert run("-d", server, "sh", "-c", "echo done >/tmp/flag; sleep 600") == (0, "")
    until(lambda: run(server, "cat", "/tmp/flag") == (0, "done\n"), "the detached exec did not run")
    assert "sleep 600" in daemon.docker("top", server).stdout


def test_logs_stats_limits_and_pausing(daemon: Daemon, server: str) -> None:
    until(lambda: "err" in daemon.docker("logs", server).stderr, "no log")
    assert daemon.docker("logs", server).stdout == "out\n"
    stats = daemon.docker("stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", server).stdout
    assert "/ 64MiB" in stats and int(stats.split()[-1]) >= 1
    limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null"
    assert daemon.docker("exec", server, "sh", "-c", limit, check=False).stdout == f"{64 << 20}\n"
    daemon.docker("update", "--memory", "80m", "--memory-swap", "160m", server)
    assert daemon.docker("exec", server, "sh", "-c", limit, check=False).stdout == f"{80 << 20}\n"
    daemon.docker("pause", server)
    assert state_of(daemon, server) == "paused 0"
    daemon.docker("unpause", server)
    assert state_of(daemon, server) == "running 0"


def test_signals_stop_and_restart(daemon: Daemon, server: str) -> None:
    until(lambda: "out" in daemon.docker("logs", server).stdout, "not started")
    daemon.docker("stop", server)
    assert state_of(daemon, server) == "exited 3"
    assert daemon.docker("logs", server).stdout.endswith("bye\n")
    daemon.docker("start", server)
    daemon.docker("restart", "-t", "5", server)
    daemon.docker("kill", server)
    assert daemon.docker("wait", server).stdout == "137\n"
    container_id = daemon.docker("inspect", "-f", "{{.Id}}", server).stdout.strip()
    daemon.docker("rm", server)
    leaves_nothing(daemon, container_id)


def test_networks_and_volumes(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("by runc\n")
    by_runc(
        daemon,
        "-d",
        "--name",
        "web",
        "-p",
        "127.0.0.1::80",
        "-v",
        f"{tmp_path}:/w:ro",
        "busybox",
        "httpd",
        "-f",
        "-h",
        "/w",
    )
    address = daemon.docker("port", "web", "80").stdout.split()[0]

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}/", timeout=5) as response:
                return bool(response.read() == b"by runc\n")
        except OSError:
            return False

    until(answers, "no answer on the published port")
    assert "0% packet loss" in by_runc(daemon, "--rm", "--link", "web", "busybox", "ping", "-c1", "web")
    assert by_runc(daemon, "--rm", "--network", "container:web", "busybox", "wget", "-qO-", "127.0.0.1") == "by runc\n"


def test_a_container_without_a_pid_namespace(daemon: Daemon) -> None:
    container_id = by_runc(
        daemon, "-d", "--pid", "host", "busybox", "sh", "-c", "sleep 4242 & sleep 4242 & exit 4"
    ).strip()
    assert daemon.docker("wait", container_id).stdout == "4\n"
    leaves_nothing(daemon, container_id)
    assert "sleep\0004242" not in "".join(
        Path(path).read_text() for path in glob.glob("/proc/[0-9]*/cmdline") if os.path.exists(path)
    )


def test_a_shared_bind_shows_the_hosts_side(daemon: Daemon) -> None:
    source = daemon.root / "shared"
    script = (
        f"mkdir -p {source} && mount -t tmpfs corten-test {source} && mount --make-shared {source} && mkdir {source}/in"
    )
    assert os.system(script) == 0
    try:
        by_runc(
            daemon,
            "--rm",
            "--privileged",
            "-v",
            f"{source}:/s:rshared",
            "busybox",
            "mount",
            "-t",
            "tmpfs",
            "t",
            "/s/in",
        )
        assert os.path.ismount(source / "in")
    finally:
        os.system(f"umount -R {source}")


def test_a_small_init(daemon: Daemon) -> None:
    if not any(map(shutil.which, ("docker-init", "tini-static", "catatonit"))):
        pytest.skip("the host has no small init to lend")
    assert "/sbin/docker-init -- ps" in by_runc(daemon, "--rm", "--init", "busybox", "ps")


# -- kills -------------------------------------------------------------------------------------------------------------


def test_a_daemon_that_is_killed_finds_it_again(own_daemon: Callable[..., Daemon]) -> None:
    daemon = own_daemon("--add-runtime", f"mine={shutil.which('runc')}", "--default-runtime", "mine")
    script = "echo one; while [ ! -e /go ]; do sleep 0.05; done; echo two; exit 6"
    container_id = daemon.docker("run", "-d", "--name", "lives", "busybox", "sh", "-c", script).stdout.strip()
    daemon.kill()
    daemon.start()
    assert state_of(daemon, "lives") == "running 0"
    daemon.docker("exec", "lives", "touch", "/go")
    assert daemon.docker("wait", "lives").stdout == "6\n"
    assert daemon.docker("logs", "lives").stdout == "one\ntwo\n"
    daemon.docker("rm", "lives")
    leaves_nothing(daemon, container_id)


def test_an_end_while_there_is_no_daemon(own_daemon: Callable[..., Daemon]) -> None:
    daemon = own_daemon()
    container_id = by_runc(
        daemon, "-d", "--name", "ends", "busybox", "sh", "-c", "sleep 0.5; echo last; exit 8"
    ).strip()
    daemon.kill()
    leaves_nothing(daemon, container_id)
    daemon.start()
    assert state_of(daemon, "ends") == "exited 8"
    assert daemon.docker("logs", "ends").stdout == "last\n"


@pytest.mark.parametrize("with_daemon", [False, True])
def test_a_killed_shim_takes_its_container_along(own_daemon: Callable[..., Daemon], *, with_daemon: bool) -> None:
    daemon = own_daemon()
    container_id = by_runc(daemon, "-d", "--name", "orphan", "busybox", "sleep", "600").strip()
    init = pid_of(daemon, "orphan")
    if with_daemon:
        daemon.kill()
    os.kill(parent_of(init), signal.SIGKILL)
    if with_daemon:
        daemon.start()
    until(lambda: state_of(daemon, "orphan") == "exited 137", "the loss was not noticed")
    leaves_nothing(daemon, container_id)
    daemon.docker("start", "orphan")
    assert state_of(daemon, "orphan") == "running 0"
    daemon.docker("rm", "-f", "orphan")
    leaves_nothing(daemon, container_id)


def test_a_runtime_that_is_gone(own_daemon: Callable[..., Daemon]) -> None:
    daemon = own_daemon("--add-runtime", "gone=/no/such/runtime")
    result = daemon.docker("run", "--runtime", "gone", "--name", "x1", "busybox", "true", check=False)
    assert result.returncode == 127
    assert "OCI runtime create failed: unable to run the OCI runtime: fork/exec /no/such/runtime" in result.stderr
