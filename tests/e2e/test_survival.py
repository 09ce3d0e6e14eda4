"""kill -9 of the daemon, the zygote and both: containers run on, logs arrive, nothing is forgotten."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rig.daemon import Daemon

Make = Callable[..., Daemon]


def await_(condition: Callable[[], bool], what: str, timeout: float = 20) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.mark.parametrize("victim", ["daemon", "zygote", "both"])
def test_containers_survive(own_daemon: Make, victim: str) -> None:
    daemon = own_daemon()
    counting = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done"
    daemon.docker("run", "-d", "--name", "counter", "busybox", "sh", "-c", counting)
    daemon.docker("run", "-d", "--name", "ending", "busybox", "sh", "-c", "sleep 2; exit 33")
    pid = daemon.docker("inspect", "-f", "{{.State.Pid}}", "counter").stdout.strip()
    if victim in ("zygote", "both"):
        daemon.kill_zygote()
    if victim in ("daemon", "both"):
        daemon.kill()
        time.sleep(2.5)  # "ending" ends while nobody looks
        daemon.start()

    assert (
        daemon.docker("inspect", "-f", "{{.State.Pid}} {{.State.Running}}", "counter").stdout.strip() == f"{pid} true"
    )
    before = len(daemon.docker("logs", "counter").stdout.splitlines())
    await_(lambda: len(daemon.docker("logs", "counter").stdout.splitlines()) > before + 3, "logs go on")
    numbers = [int(line) for line in daemon.docker("logs", "counter").stdout.split()]
    assert numbers == list(range(len(numbers))), "no line is lost or doubled"
    assert daemon.docker("wait", "ending").stdout.strip() == "33"
    assert "counter" in daemon.docker("ps", "--format", "{{.Names}}").stdout.split()
    assert daemon.docker("exec", "counter", "echo", "still").stdout == "still\n"
    daemon.docker("stop", "-t", "1", "counter")
    assert not os.path.exists(f"/proc/{pid}")
    assert daemon.docker("run", "--rm", "busybox", "echo", "new ones start").stdout == "new ones start\n"


def test_a_wait_is_answered_after_the_daemon_is_back(own_daemon: Make) -> None:
    daemon = own_daemon()
    daemon.docker("run", "-d", "--name", "slow", "busybox", "sh", "-c", "sleep 3; exit 5")
    daemon.kill()
    daemon.start()
    assert daemon.docker("wait", "slow").stdout.strip() == "5"


def test_published_ports_survive(own_daemon: Make) -> None:
    daemon = own_daemon()
    page = "mkdir /www; echo served >/www/index.html; exec httpd -f -p 80 -h /www"
    daemon.docker("run", "-d", "--name", "web", "-p", "127.0.0.1:0:80", "busybox", "sh", "-c", page)
    address = daemon.docker("port", "web", "80").stdout.strip()

    def served() -> bool:
        command = ["curl", "-s", "-m", "2", f"http://{address}/"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout == "served\n"

    await_(served, "before")
    daemon.kill()
    assert served(), "while the daemon is gone"
    daemon.start()
    assert daemon.docker("port", "web", "80").stdout.strip() == address
    await_(served, "after")


def test_a_restarted_daemon_obeys_restart_policies(own_daemon: Make) -> None:
    daemon = own_daemon()
    daemon.docker("run", "-d", "--name", "always", "--restart", "always", "busybox", "sleep", "1000")
    pid = daemon.docker("inspect", "-f", "{{.State.Pid}}", "always").stdout.strip()
    daemon.kill()
    os.kill(int(pid), 9)
    time.sleep(0.3)
    daemon.start()
    await_(
        lambda: daemon.docker("inspect", "-f", "{{.State.Running}}", "always").stdout.strip() == "true",
        "it is started again",
    )
    assert daemon.docker("inspect", "-f", "{{.State.Pid}}", "always").stdout.strip() != pid


def test_a_graceful_stop_leaves_containers_running(own_daemon: Make) -> None:
    daemon = own_daemon()
    daemon.docker("run", "-d", "--name", "runner", "busybox", "sleep", "1000")
    pid = daemon.docker("inspect", "-f", "{{.State.Pid}}", "runner").stdout.strip()
    daemon.restart()
    assert daemon.docker("inspect", "-f", "{{.State.Pid}}", "runner").stdout.strip() == pid


def test_execs_are_known_again(own_daemon: Make) -> None:
    """One that runs on is watched to its end; one that has ended tells how."""
    daemon = own_daemon()
    daemon.docker("run", "-d", "--name", "host", "busybox", "sleep", "300")
    api = daemon.client().api
    runs = api.exec_create("host", ["sh", "-c", "sleep 15; exit 7"])["Id"]
    ended = api.exec_create("host", ["sh", "-c", "exit 9"], user="root")["Id"]
    api.exec_start(runs, detach=True)
    api.exec_start(ended)
    pid = api.exec_inspect(runs)["Pid"]
    daemon.kill()
    daemon.start()
    api = daemon.client().api
    known = api.exec_inspect(runs)
    assert known["Running"] and known["Pid"] == pid and known["ProcessConfig"]["entrypoint"] == "sh"
    assert api.exec_inspect(ended)["ExitCode"] == 9 and api.exec_inspect(ended)["ProcessConfig"]["user"] == "root"
    await_(lambda: api.exec_inspect(runs)["ExitCode"] == 7, "its end is seen", 60)
    assert not api.exec_inspect(runs)["Running"]


def test_rm_is_not_forgotten_by_a_restart_that_is_cut_short(own_daemon: Make) -> None:
    daemon = own_daemon()
    daemon.docker("run", "-d", "--rm", "--name", "passing", "busybox", "sleep", "300")
    daemon.docker("restart", "-t", "0", "passing")
    assert daemon.docker("inspect", "-f", "{{.State.Running}} {{.HostConfig.AutoRemove}}", "passing").stdout == (
        "true true\n"
    )
    cut = subprocess.Popen(["docker", "restart", "-t", "2", "passing"], env=daemon.environment)
    time.sleep(1)
    daemon.kill()
    cut.wait()
    daemon.start()
    assert daemon.docker("inspect", "-f", "{{.HostConfig.AutoRemove}}", "passing").stdout == "true\n"
    daemon.docker("stop", "-t", "0", "passing")
    await_(lambda: daemon.docker("ps", "-aq").stdout == "", "it is gone")


def test_sighup_reads_the_configuration_again(own_daemon: Make, tmp_path: Path) -> None:
    file = tmp_path / "daemon.json"
    file.write_text('{"labels": ["stage=one"]}')
    daemon = own_daemon("--config-file", str(file))
    assert daemon.client().info()["Labels"] == ["stage=one"]
    file.write_text('{"labels": ["stage=two"], "insecure-registries": ["r.test:5000"], "debug": true}')
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    await_(lambda: daemon.client().info()["Labels"] == ["stage=two"], "labels")
    info = daemon.client().info()
    assert info["Debug"] and "r.test:5000" in info["RegistryConfig"]["IndexConfigs"]
    file.write_text("{ nonsense")
    daemon.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert daemon.client().info()["Labels"] == ["stage=two"], "a broken file changes nothing"
    events = daemon.docker("events", "--since", "5m", "--until", str(time.time()), "--filter", "type=daemon").stdout
    assert "reload" in events
