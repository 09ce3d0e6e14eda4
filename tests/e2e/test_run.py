"""docker run, as people use it: output, exit codes, streams, terminals, names, environment."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import time

import pytest

from rig.daemon import Daemon


def test_output_and_removal(daemon: Daemon) -> None:
    result = daemon.docker("run", "--rm", "busybox", "echo", "hello world")
    assert result.stdout == "hello world\n"
    assert daemon.docker("ps", "-aq").stdout == ""


def test_standard_output_and_error_are_apart(daemon: Daemon) -> None:
    result = daemon.docker("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2")
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (("true",), 0),
        (("false",), 1),
        (("sh", "-c", "exit 42"), 42),
        (("sh", "-c", "sh -c 'kill -9 $$'; exit $?"), 137),
        (("sh", "-c", "kill -TERM $$; sleep 1"), None),  # pid 1 ignores a signal it has no handler for
        (("no-such-command",), 127),
        (("/etc/passwd",), 126),
        (("/etc",), 126),
    ],
)
def test_exit_codes(daemon: Daemon, command: tuple[str, ...], status: int | None) -> None:
    for client in (daemon.docker, daemon.corten):
        result = client("run", "--rm", "busybox", *command, check=False)
        if status is not None:
            assert result.returncode == status, result.stderr
    assert daemon.docker("ps", "-aq").stdout == ""


def test_exit_code_of_the_engine_itself(daemon: Daemon) -> None:
    result = daemon.docker("run", "--rm", "--memory=1k", "busybox", "true", check=False)
    assert result.returncode == 125
    assert "memory" in result.stderr.lower()


def test_standard_input_reaches_the_container(daemon: Daemon) -> None:
    data = os.urandom(300_000)
    result = subprocess.run(
        ["docker", "run", "--rm", "-i", "busybox", "cat"],
        env=daemon.environment,
        input=data,
        capture_output=True,
        timeout=60,
    )
    assert result.stdout == data


def test_a_terminal(daemon: Daemon) -> None:
    """docker run -it on a real terminal: a shell answers and ends with its exit code."""
    pid, master = pty.fork()
    if pid == 0:
        os.execvpe("docker", ["docker", "run", "--rm", "-it", "busybox", "sh"], daemon.environment)
    seen = b""

    def expect(text: bytes) -> None:
        nonlocal seen
        deadline = time.monotonic() + 30
        while text not in seen:
            assert time.monotonic() < deadline, seen
            if select.select([master], [], [], 0.2)[0]:
                seen += os.read(master, 4096)

    expect(b"# ")
    os.write(master, b"tty; echo $((6*7))\n")
    expect(b"/dev/pts/0")
    expect(b"42")
    os.write(master, b"exit 3\n")
    _, status = os.waitpid(pid, 0)
    os.close(master)
    assert os.waitstatus_to_exitcode(status) == 3


def test_what_the_container_sees(daemon: Daemon) -> None:
    script = "hostname; id -u; pwd; echo $GREETING; cat /proc/1/comm; ls /proc | grep -c '^[0-9]'"
    result = daemon.docker(
        "run", "--rm", "-h", "box", "-u", "1000:1000", "-w", "/tmp/new", "-e", "GREETING=hi there", "busybox",
        "sh", "-c", script,
    )  # fmt: skip
    lines = result.stdout.splitlines()
    assert lines[:5] == ["box", "1000", "/tmp/new", "hi there", "sh"]
    assert int(lines[5]) <= 4


def test_detached_logs_stop_and_inspect(daemon: Daemon) -> None:
    container = daemon.docker(
        "run", "-d", "--name", "talker", "busybox", "sh", "-c", "echo one; echo two >&2; sleep 1000"
    )
    identity = container.stdout.strip()
    assert len(identity) == 64
    state = json.loads(daemon.docker("inspect", "talker").stdout)[0]
    assert state["State"]["Running"] and state["Name"] == "/talker" and state["Id"] == identity
    deadline = time.monotonic() + 10
    while True:
        logs = daemon.docker("logs", "talker")
        if (logs.stdout, logs.stderr) == ("one\n", "two\n"):
            break
        assert time.monotonic() < deadline, logs
    daemon.docker("stop", "-t", "1", "talker")
    state = json.loads(daemon.docker("inspect", "talker").stdout)[0]["State"]
    assert (state["Status"], state["ExitCode"], state["Running"]) == ("exited", 137, False)
    assert "Exited (137)" in daemon.docker("ps", "-a", "--format", "{{.Status}}").stdout


def test_exec(daemon: Daemon) -> None:
    daemon.docker("run", "-d", "--name", "host", "busybox", "sleep", "1000")
    assert daemon.docker("exec", "host", "echo", "inside").stdout == "inside\n"
    assert daemon.docker("exec", "-i", "host", "cat", stdin="through").stdout == "through"
    assert daemon.docker("exec", "host", "sh", "-c", "exit 7", check=False).returncode == 7
    assert daemon.docker("exec", "host", "no-such", check=False).returncode == 127
    assert daemon.docker(
        "exec", "-e", "A=b", "-w", "/etc", "-u", "nobody", "host", "sh", "-c", "echo $A; pwd; id -un"
    ).stdout == ("b\n/etc\nnobody\n")


def test_published_port(daemon: Daemon) -> None:
    page = "mkdir /www; echo served >/www/index.html; exec httpd -f -p 80 -h /www"
    daemon.docker("run", "-d", "--name", "web", "-p", "127.0.0.1:0:80", "busybox", "sh", "-c", page)
    address = daemon.docker("port", "web", "80").stdout.strip()
    deadline = time.monotonic() + 10
    while True:
        result = subprocess.run(["curl", "-s", f"http://{address}/"], capture_output=True, text=True, check=False)
        if result.stdout == "served\n":
            break
        assert time.monotonic() < deadline, (address, result)
        time.sleep(0.05)


def test_network_modes(daemon: Daemon) -> None:
    none = daemon.docker("run", "--rm", "--net=none", "busybox", "ip", "-o", "addr").stdout
    assert "127.0.0.1" in none and "eth0" not in none
    bridge = daemon.docker("run", "--rm", "busybox", "ip", "-o", "addr", "show", "eth0").stdout
    assert daemon.subnet.rsplit(".", 1)[0] in bridge
    host = daemon.docker("run", "--rm", "--net=host", "busybox", "ip", "-o", "link").stdout
    assert daemon.bridge in host


def test_copy_in_and_out(daemon: Daemon, tmp_path: object) -> None:
    daemon.docker("run", "-d", "--name", "store", "busybox", "sleep", "1000")
    source = f"{tmp_path}/in"
    with open(source, "w") as file:
        file.write("content")
    daemon.docker("cp", source, "store:/tmp/there")
    assert daemon.docker("exec", "store", "cat", "/tmp/there").stdout == "content"
    daemon.docker("stop", "-t", "0", "store")
    daemon.docker("cp", "store:/tmp/there", f"{tmp_path}/out")
    with open(f"{tmp_path}/out") as file:
        assert file.read() == "content"


def test_events_tell_the_story(daemon: Daemon) -> None:
    begin = str(int(time.time()))
    daemon.docker("run", "--rm", "--name", "storied", "busybox", "true")
    time.sleep(0.2)
    output = daemon.docker(
        "events", "--since", begin, "--until", str(time.time()), "--filter", "container=storied",
        "--format", "{{.Action}}",
    ).stdout.split()  # fmt: skip
    for action in ("create", "start", "die", "destroy"):
        assert action in output, output


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("rm", "-f"), ["kill 9", "die", "destroy"]),
        (("kill", "-s", "KILL"), ["kill 9", "die"]),
        (("stop", "-s", "KILL"), ["kill 9", "die", "stop"]),
    ],
)
def test_what_ends_a_container_is_told_first(daemon: Daemon, command: tuple[str, ...], told: list[str]) -> None:
    daemon.docker("run", "-d", "--name", "ended", "busybox", "sleep", "99")
    begin = str(time.time())
    daemon.docker(*command, "ended")
    time.sleep(0.2)
    output = daemon.docker(
        "events", "--since", begin, "--until", str(time.time()), "--filter", "container=ended",
        "--format", "{{.Action}} {{.Actor.Attributes.signal}}",
    ).stdout.replace(" <no value>", "").splitlines()  # fmt: skip
    assert output == told


def test_nothing_of_a_name_is_an_error_of_one_line(daemon: Daemon) -> None:
    done = daemon.docker("inspect", "nosuch", check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (1, "[]", "Error: No such object: nosuch\n")


def test_restart_policy(daemon: Daemon) -> None:
    daemon.docker("run", "-d", "--name", "again", "--restart", "on-failure:2", "busybox", "sh", "-c", "echo x; exit 1")
    deadline = time.monotonic() + 20
    while True:
        state = json.loads(daemon.docker("inspect", "again").stdout)[0]
        if state["RestartCount"] == 2 and state["State"]["Status"] == "exited":
            break
        assert time.monotonic() < deadline, state["State"]
        time.sleep(0.1)
    assert daemon.docker("logs", "again").stdout == "x\n" * 3


def test_updates_that_contradict_what_is_set(daemon: Daemon) -> None:
    identity = daemon.docker("create", "--name", "bound", "-m", "64m", "--cpus", "1", "busybox", "true").stdout.strip()
    for words, *options in (
        ("shares: invalid argument", "--cpu-shares", "-1"),
        (f"Cannot update container {identity}: Memory limit should be smaller than already set", "-m", "256m"),
        (f"Cannot update container {identity}: Conflicting options: CPU Period", "--cpu-period", "10000"),
        (f"Cannot update container {identity}: Conflicting options: CPU Quota", "--cpu-quota", "10000"),
    ):
        assert words in daemon.docker("update", *options, "bound", check=False).stderr


def test_ipc_of_another_container(daemon: Daemon) -> None:
    daemon.docker("run", "-d", "--name", "keeps", "busybox", "sleep", "100")
    daemon.docker(
        "run", "-d", "--name", "shares", "--ipc", "shareable", "busybox", "sh", "-c", "touch /dev/shm/x; sleep 100"
    )
    daemon.docker("run", "-d", "--name", "joins", "--ipc", "container:shares", "busybox", "sleep", "100")
    daemon.docker("run", "-d", "--name", "hosts", "--ipc", "host", "busybox", "sleep", "100")
    assert daemon.docker("run", "--rm", "--ipc", "container:joins", "busybox", "ls", "/dev/shm").stdout == "x\n"
    daemon.docker("run", "--rm", "--ipc", "container:hosts", "busybox", "true")
    words = "non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
    assert words in daemon.docker("run", "--ipc", "container:keeps", "busybox", "true", check=False).stderr
    assert (
        "No such container: nobody"
        in daemon.docker("create", "--ipc", "container:nobody", "busybox", check=False).stderr
    )
    daemon.docker("rm", "-f", "joins", "shares", "keeps", "hosts")


def test_volume_events_and_mtab(daemon: Daemon) -> None:
    begun = daemon.docker("info", "--format", "{{.SystemTime}}").stdout.strip()
    daemon.docker("run", "--name", "told", "-v", "toldof:/v:ro", "busybox", "true")
    ended = daemon.docker("info", "--format", "{{.SystemTime}}").stdout.strip()
    shown = (
        '{{.Action}} {{.Actor.ID}} {{index .Actor.Attributes "destination"}} {{index .Actor.Attributes "read/write"}}'
    )
    told = daemon.docker(
        "events", "--since", begun, "--until", ended, "--filter", "type=volume", "--format", shown
    ).stdout
    assert told.splitlines() == ["create toldof  ", "mount toldof /v false", "unmount toldof  "]
    assert (
        daemon.docker("inspect", "told", "--format", "{{.Driver}}").stdout
        == daemon.docker("info", "--format", "{{.Driver}}").stdout
    )
    assert daemon.docker("run", "--name", "linked", "busybox", "readlink", "/etc/mtab").stdout == "/proc/mounts\n"
    assert "mtab" not in daemon.docker("diff", "linked").stdout
    daemon.docker("rm", "-v", "told", "linked")
    daemon.docker("volume", "rm", "toldof")
