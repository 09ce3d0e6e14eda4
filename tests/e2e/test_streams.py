"""Two hundred users of attach, exec and logs at once, and every byte of a large stream.

CORTEN_STREAMS_SECONDS sets how long the users stay (the issue's long form is 600), CORTEN_STREAMS_MIB how much goes
from stdin to stdout (the long form is 1024).
"""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import random
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import requests

from rig.daemon import BIN, Daemon

SECONDS = int(os.environ.get("CORTEN_STREAMS_SECONDS", "10"))
MIB = int(os.environ.get("CORTEN_STREAMS_MIB", "64"))
USERS = 200
TICKS = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done"
LINE = 76 + 1  # of base64, with its newline


def text(mib: int) -> Iterator[bytes]:
    """So many MiB of lines that no other place in the stream has."""
    chance = random.Random(7)
    left = mib << 20
    while left > 0:
        block = base64.encodebytes(chance.randbytes(57 * 1024))[:left]
        left -= len(block)
        yield block


def through(daemon: Daemon, *command: str) -> tuple[str, str]:
    """The checksums of what a command was given, and of what it gave back."""
    process = subprocess.Popen(
        command, env=daemon.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert process.stdin is not None and process.stdout is not None
    given, got = hashlib.sha256(), hashlib.sha256()

    def feed() -> None:
        assert process.stdin is not None
        with process.stdin as stdin:
            for block in text(MIB):
                given.update(block)
                stdin.write(block)

    feeder = threading.Thread(target=feed)
    feeder.start()
    while data := process.stdout.read(1 << 20):
        got.update(data)
    feeder.join()
    assert process.wait() == 0
    return given.hexdigest(), got.hexdigest()


def gathered(daemon: Daemon, *command: str) -> str:
    process = subprocess.Popen(command, env=daemon.environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert process.stdout is not None
    got = hashlib.sha256()
    while data := process.stdout.read(1 << 20):
        got.update(data)
    process.wait()
    return got.hexdigest()


@pytest.mark.timeout(120 + MIB * 2)
def test_every_byte_through_attach_and_logs(daemon: Daemon) -> None:
    given, got = through(
        daemon, "docker", "run", "-i", "--name", "echoes", "--log-opt", "max-size=-1", "busybox", "cat"
    )
    assert got == given, "attach"
    assert gathered(daemon, "docker", "logs", "echoes") == given, "logs"
    assert gathered(daemon, "docker", "logs", "-f", "echoes") == given, "logs -f"


@pytest.mark.timeout(120 + MIB * 2)
def test_every_byte_through_exec(daemon: Daemon) -> None:
    daemon.docker("run", "-d", "--name", "host", "busybox", "sleep", "10000")
    given, got = through(daemon, "docker", "exec", "-i", "host", "cat")
    assert got == given


class Numbers:
    """Lines that count up, in chunks that may be cut anywhere; raises on the first that is lost or out of place."""

    def __init__(self) -> None:
        self.last = -1
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            assert line.isdigit() and (self.last < 0 or int(line) == self.last + 1), f"{line!r} after {self.last}"
            self.last = int(line)


def follow(stream: Any, until: float) -> int:
    numbers = Numbers()
    for data in stream:
        numbers.feed(data)
        if time.monotonic() > until:
            break
    stream.close()
    return numbers.last


def attaches(client: docker.APIClient, until: float, chance: random.Random) -> None:
    while (now := time.monotonic()) < until:
        stop = min(until, now + chance.uniform(1, 8))
        follow(client.attach("ticks", stream=True, logs=False), stop)


def reads_logs(client: docker.APIClient, until: float, chance: random.Random) -> None:
    while (now := time.monotonic()) < until:
        stop = min(until, now + chance.uniform(1, 8))
        tail = chance.choice(["all", 1, 20])
        assert follow(client.logs("ticks", stream=True, follow=True, tail=tail), stop) >= 0


def started(socket_path: str, exec_id: str) -> bytes:
    """Start an exec; what it prints.  By hand: docker-py loses what comes in one piece with the answer's head."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(socket_path)
        body = b'{"Detach":false,"Tty":false}'
        connection.sendall(
            f"POST /v1.50/exec/{exec_id}/start HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
            f"Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        got = b""
        while data := connection.recv(65536):
            got += data
    head, _, rest = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101"), got
    output = b""
    while rest:
        length = int.from_bytes(rest[4:8], "big")
        output, rest = output + rest[8 : 8 + length], rest[8 + length :]
    return output


def executes(path: str, client: docker.APIClient, until: float, chance: random.Random) -> None:
    while time.monotonic() < until:
        token = f"{chance.random()}"
        made = client.exec_create("ticks", ["sh", "-c", f"echo {token}; exit 3"])["Id"]
        assert started(path, made) == f"{token}\n".encode()
        assert client.exec_inspect(made)["ExitCode"] == 3
        time.sleep(chance.uniform(0.2, 3))


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def shim_of(daemon: Daemon, name: str) -> int:
    pid = daemon.docker("inspect", "-f", "{{.State.Pid}}", name).stdout.strip()
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("PPid")).split()[1])


@pytest.mark.slow
@pytest.mark.timeout(180 + SECONDS * 3)
def test_two_hundred_users(own_daemon: Callable[..., Daemon]) -> None:
    daemon = own_daemon()
    daemon.docker("run", "-d", "--name", "ticks", "--log-opt", "max-size=-1", "busybox", "sh", "-c", TICKS)
    assert daemon.process is not None
    watched = {"daemon": daemon.process.pid, "shim": shim_of(daemon, "ticks")}
    api = daemon.client().api
    daemon.docker("exec", "ticks", "true")  # what is opened once is open now
    before = {name: open_files(pid) for name, pid in watched.items()}
    tasks = api.info()["NGoroutines"]
    faults: list[str] = []
    until = time.monotonic() + SECONDS

    def user(number: int) -> None:
        client = docker.APIClient(base_url=daemon.host, version="1.50", timeout=120)
        try:
            kinds = (attaches, reads_logs, functools.partial(executes, str(daemon.socket)))
            kinds[number % 3](client, until, random.Random(number))
        except (AssertionError, docker.errors.APIError, requests.exceptions.RequestException, OSError) as fault:
            faults.append(f"user {number}: {fault!r}")
        finally:
            client.close()

    users = [threading.Thread(target=user, args=(number,)) for number in range(USERS)]
    for each in users:
        each.start()
    for each in users:
        each.join()
    assert faults == []
    deadline = time.monotonic() + 30
    while True:
        after = {name: open_files(pid) for name, pid in watched.items()}
        left = api.info()["NGoroutines"]
        if all(after[name] <= before[name] + 2 for name in watched) and left <= tasks + 12:
            break
        assert time.monotonic() < deadline, (before, after, tasks, left)
        time.sleep(0.5)


@pytest.mark.parametrize("cli", ["docker", str(BIN / "corten")])
def test_output_is_whole_when_input_is_not_read(daemon: Daemon, cli: str) -> None:
    """``yes | docker run -i busybox head -1``: the process ends, or closes its stdin, while there is more to read."""
    daemon.docker("run", "-d", "--name", "open", "busybox", "sleep", "100")
    for command in (
        ["run", "-i", "--rm", "busybox", "head", "-1"],
        ["exec", "-i", "open", "head", "-1"],
        ["run", "-i", "--rm", "busybox", "sh", "-c", "exec 0<&-; sleep 0.1; echo y"],
    ):
        for _ in range(5):
            with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as flood:
                done = subprocess.run(
                    [cli, *command],
                    stdin=flood.stdout,
                    env=daemon.environment,
                    capture_output=True,
                    timeout=60,
                    check=False,
                )
                flood.kill()
            assert (done.returncode, done.stdout, done.stderr) == (0, b"y\n", b""), command
