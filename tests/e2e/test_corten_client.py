"""``corten`` beside the real ``docker``: the same words give the same output and exit status on one daemon."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.daemon import BIN, Daemon

Answer = tuple[int, str, str]


def both(daemon: Daemon, *words: str) -> tuple[Answer, Answer]:
    """Both answers to the same words, at one time: "Up 1 second" must not become "Up 2 seconds" between them."""
    theirs = answer(daemon.docker(*words, check=False))
    for _ in range(20):
        before, ours = theirs, answer(daemon.corten(*words, check=False))
        theirs = answer(daemon.docker(*words, check=False))
        if theirs == before:
            break
    return theirs, ours


def answer(done: subprocess.CompletedProcess[str]) -> Answer:
    return done.returncode, done.stdout, done.stderr.replace("docker", "corten")


@pytest.fixture
def web(daemon: Daemon) -> Iterator[str]:
    daemon.docker("run", "-d", "--name", "web", "-p", "127.0.0.1::80", "-l", "a=b", "busybox", "sleep", "1000")
    daemon.docker("exec", "web", "sh", "-c", "echo x > /new; rm /etc/nsswitch.conf")
    yield "web"


@pytest.mark.parametrize(
    "words",
    [
        "ps",
        "ps -a --no-trunc",
        "ps -aq",
        'ps --filter label=a=b --format {{.Names}}:{{.Label\\ "a"}}',
        r"ps --format table\ {{.ID}}\t{{.Ports}}",
        "port web",
        "top web",
        "diff web",
        "logs web",
        "inspect web",
        "inspect -f {{.State.Status}}-{{json\\ .Config.Labels}} web",
        "inspect -f {{range\\ .Config.Env}}{{println\\ .}}{{end}}{{.NetworkSettings.Ports}} web",
        "inspect gone web",
        "inspect -f {{json}} web",
        "ps --format {{.Label}}",
        "images",
        "images --digests --no-trunc",
        "images --format json",
        "history busybox",
        "image inspect busybox",
        "network ls",
        "network inspect bridge",
        "volume ls",
        "system df",
        "rm gone",
        "rmi gone",
        "stop gone",
        "exec gone true",
        "exec web no-such-command",
        "exec web sh -c exit\\ 3",
        "run --rm busybox no-such-command",
        "run --rm busybox /etc",
        "run -p x busybox",
        "run -m abc busybox",
        "network rm gone",
        "volume inspect gone",
        "cp gone:/x /tmp",
        "cp web:/gone /tmp",
        "tag gone x",
        "nonsense",
        "ps --nonsense",
        "rename a",
    ],
)
def test_the_same(daemon: Daemon, web: str, words: str) -> None:
    assert web
    arguments = [word.replace("\0", " ") for word in words.replace("\\ ", "\0").split()]
    theirs, ours = both(daemon, *arguments)
    assert ours == theirs


def test_large_input_and_output(daemon: Daemon) -> None:
    data = os.urandom(1 << 20) * 8
    environment = daemon.environment
    command = [str(BIN / "corten"), "run", "-i", "--rm", "busybox", "cat"]
    done = subprocess.run(command, input=data, capture_output=True, env=environment, check=True)
    assert done.stdout == data


def test_copies(daemon: Daemon, web: str, tmp_path: Path) -> None:
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "sub" / "file").write_text("content")
    daemon.corten("cp", f"{tmp_path}/tree", f"{web}:/there")
    assert daemon.docker("exec", web, "cat", "/there/sub/file").stdout == "content"
    daemon.corten("cp", f"{web}:/there/.", f"{tmp_path}/back")
    assert (tmp_path / "back" / "sub" / "file").read_text() == "content"


def test_build_and_both_clients_share_the_cache(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo one > /one\nCOPY . /all/\nCMD cat /one\n")
    (tmp_path / ".dockerignore").write_text("*.log\n")
    (tmp_path / "no.log").write_text("x")
    daemon.corten("build", "-t", "both", "--iidfile", f"{tmp_path}/id", "-f", f"{tmp_path}/Dockerfile", str(tmp_path))
    (tmp_path / "id").unlink()
    again = daemon.docker("build", "-t", "both", str(tmp_path)).stdout
    assert again.count("Using cache") == 3
    assert daemon.corten("run", "--rm", "both").stdout == "one\n"
    assert daemon.corten("run", "--rm", "both", "ls", "/all").stdout == "Dockerfile\n"


def test_signals_are_handed_on(daemon: Daemon) -> None:
    script = "trap 'echo caught; exit 4' TERM; echo ready; while :; do sleep 0.05; done"
    command = [str(BIN / "corten"), "run", "--rm", "busybox", "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=daemon.environment, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "caught\n"
        assert process.wait() == 4


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, daemon: Daemon, *words: str) -> None:
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.execve(BIN / "corten", ["corten", *words], daemon.environment)
        self.text = ""

    def expect(self, words: str, patience: float = 60) -> None:
        deadline = time.monotonic() + patience
        while words not in self.text:
            assert time.monotonic() < deadline, self.text
            if select.select([self.descriptor], [], [], 0.1)[0]:
                self.text += os.read(self.descriptor, 65536).decode(errors="replace")
        self.text = self.text.partition(words)[2]

    def type(self, keys: bytes) -> None:
        os.write(self.descriptor, keys)

    def status(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        os.close(self.descriptor)
        return os.waitstatus_to_exitcode(status)


def test_a_terminal_with_detach_attach_and_exec(daemon: Daemon) -> None:
    first = Terminal(daemon, "run", "-it", "--name", "shell", "busybox", "sh")
    first.expect("# ")
    first.type(b"echo a$((1+1))b\n")
    first.expect("a2b")
    first.type(b"\x10\x11")
    first.expect("read escape sequence")
    assert first.status() == 0
    second = Terminal(daemon, "exec", "-it", "shell", "sh")
    second.expect("# ")
    second.type(b"tty; exit 6\n")
    second.expect("/dev/pts/")
    assert second.status() == 6
    third = Terminal(daemon, "attach", "shell")
    third.type(b"echo c$((1+2))d; exit 7\n")
    third.expect("c3d")
    assert third.status() == 7
