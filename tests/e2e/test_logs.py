"""Log drivers: what is kept, within which bounds, and who else is told."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from rig.daemon import Daemon

JOURNAL = Path("/run/systemd/journal/socket")


def run(daemon: Daemon, script: str, *options: str, name: str = "talks") -> str:
    daemon.docker("run", "--name", name, *options, "busybox", "sh", "-c", script)
    return name


def files(daemon: Daemon, name: str) -> list[Path]:
    path = Path(daemon.docker("inspect", "-f", "{{.LogPath}}", name).stdout.strip())
    return sorted(path.parent.glob(f"{path.name}*"))


@pytest.mark.parametrize("driver", ["json-file", "local"])
def test_a_noisy_container_never_fills_the_disk(daemon: Daemon, driver: str) -> None:
    """Without any option: some 160 MB are said, at most five files of 20 MB are kept, and the end is there."""
    line = "x" * 99
    name = run(daemon, f"yes {line} | head -n 1200000; echo the end", "-d", "--log-driver", driver)
    assert daemon.docker("wait", name).stdout.strip() == "0"
    deadline = time.monotonic() + 20
    while sum(path.stat().st_size for path in files(daemon, name)) > 5 * (20 << 20) and time.monotonic() < deadline:
        time.sleep(0.2)  # compressors at work
    kept = files(daemon, name)
    assert len(kept) <= 6 and sum(path.stat().st_size for path in kept) <= 5 * (20 << 20) + (1 << 20)
    tail = daemon.docker("logs", "-n", "2", name).stdout
    assert tail == f"{line}\nthe end\n"
    if driver == "local":
        assert any(path.name.endswith(".gz") for path in kept)


@pytest.mark.parametrize("options", [["compress=true"], ["compress=false"], ["tag={{.Name}}"]], ids=str)
def test_rotation_by_options(daemon: Daemon, options: list[str]) -> None:
    """Reading goes over every file, compressed ones too, in order."""
    flags = [word for option in ["max-size=200k", "max-file=3", *options] for word in ("--log-opt", option)]
    name = run(daemon, "i=0; while [ $i -lt 9000 ]; do echo line $i; i=$((i+1)); done", "-d", *flags)
    daemon.docker("wait", name)
    time.sleep(0.5)
    lines = daemon.docker("logs", name).stdout.splitlines()
    numbers = [int(line.split()[1]) for line in lines]
    assert numbers == list(range(numbers[0], 9000)) and numbers[0] > 0
    assert len(files(daemon, name)) <= 3
    packed = [path for path in files(daemon, name) if path.suffix == ".gz"]
    assert bool(packed) == (options == ["compress=true"])


def test_unbounded_if_asked_for(daemon: Daemon) -> None:
    name = run(daemon, f"yes {'y' * 999} | head -n 25000", "-d", "--log-opt", "max-size=-1")
    daemon.docker("wait", name)
    assert [path.stat().st_size > 24 << 20 for path in files(daemon, name)] == [True]


def test_none(daemon: Daemon) -> None:
    name = run(daemon, "echo unheard", "--log-driver", "none")
    result = daemon.docker("logs", name, check=False)
    assert result.returncode == 1 and "does not support reading" in result.stderr
    assert daemon.docker("inspect", "-f", "{{.LogPath}}", name).stdout.strip() == ""


def test_details_of_labels_and_environment(daemon: Daemon) -> None:
    name = run(
        daemon, "echo said", "--label", "team=red", "--label", "other=1", "-e", "STAGE=qa", "-e", "APP_ONE=1",
        "--log-opt", "labels=team", "--log-opt", "env=STAGE", "--log-opt", "env-regex=^APP_",
    )  # fmt: skip
    told = daemon.docker("logs", "--details", name).stdout
    assert told.endswith(" said\n") and {"team=red", "STAGE=qa", "APP_ONE=1"} == set(told.split()[0].split(","))


@pytest.mark.parametrize(
    ("driver", "option", "words"),
    [
        ("json-file", "no-such=1", "unknown log opt"),
        ("local", "syslog-address=udp://x", "unknown log opt"),
        ("json-file", "max-size=much", "invalid size"),
        ("json-file", "max-file=0", "max-file"),
        ("json-file", "mode=sideways", "mode"),
        ("json-file", "env-regex=(", "env-regex"),
        ("syslog", "syslog-facility=nobody", "facility"),
        ("syslog", "syslog-address=carrier://pigeon", "syslog-address"),
        ("syslog", "syslog-format=verse", "format"),
        ("syslog", "syslog-address=tcp+tls://x:1", "TLS"),
        ("splunk", "x=1", "no log driver named"),
    ],
)
def test_nonsense_is_refused(client: docker.DockerClient, driver: str, option: str, words: str) -> None:
    name, _, value = option.partition("=")
    with pytest.raises(docker.errors.APIError) as refused:
        config = docker.types.LogConfig(type=driver, config={name: value})
        client.containers.create("busybox", "true", log_config=config)
    assert words.lower() in str(refused.value).lower()


def received(receiver: socket.socket, count: int) -> list[bytes]:
    receiver.settimeout(10)
    return [receiver.recv(65536) for _ in range(count)]


@pytest.mark.parametrize("style", ["", "rfc3164", "rfc5424", "rfc5424micro"])
def test_syslog_over_a_unix_socket(daemon: Daemon, tmp_path: Path, style: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "log"))
        name = run(
            daemon, "echo to stdout; echo to stderr >&2", "--log-driver", "syslog", "--log-opt",
            f"syslog-address=unixgram://{tmp_path}/log", "--log-opt", "tag=app/{{.Name}}", "--log-opt",
            "syslog-facility=local3", "--log-opt", f"syslog-format={style}",
        )  # fmt: skip
        told = sorted(received(receiver, 2))
    assert told[0].startswith(b"<155>") and told[0].endswith(b"to stderr")
    assert told[1].startswith(b"<158>") and told[1].endswith(b"to stdout")
    assert all(b"app/talks" in each for each in told)
    assert daemon.docker("logs", name).stdout == "to stdout\n"


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
def test_syslog_over_the_network(daemon: Daemon, scheme: str) -> None:
    kind = socket.SOCK_DGRAM if scheme == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as receiver:
        receiver.bind(("127.0.0.1", 0))
        if scheme == "tcp":
            receiver.listen()
        port = receiver.getsockname()[1]
        run(daemon, "echo over the wire", "--log-driver", "syslog", "--log-opt",
            f"syslog-address={scheme}://127.0.0.1:{port}")  # fmt: skip
        receiver.settimeout(10)
        if scheme == "tcp":
            connection, _ = receiver.accept()
            with connection:
                connection.settimeout(10)
                assert connection.recv(4096).endswith(b"over the wire\n")
        else:
            assert receiver.recv(4096).endswith(b"over the wire")


def test_a_dead_receiver_does_not_hold_the_container(daemon: Daemon, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "log"))
        begun = time.monotonic()
        name = run(daemon, "i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done", "--log-driver", "syslog",
                   "--log-opt", f"syslog-address=unixgram://{tmp_path}/log")  # fmt: skip
    assert time.monotonic() - begun < 90
    assert daemon.docker("logs", name).stdout.splitlines()[-1] == "2999"


def test_a_missing_receiver_is_told(daemon: Daemon, tmp_path: Path) -> None:
    result = daemon.docker(
        "run", "--rm", "--log-driver", "syslog", "--log-opt", f"syslog-address=unix://{tmp_path}/none", "busybox",
        "true", check=False,
    )  # fmt: skip
    assert result.returncode == 125 and "failed to initialize logging driver" in result.stderr


@pytest.fixture
def journal() -> Iterator[socket.socket]:
    if JOURNAL.exists():
        pytest.skip("this machine has a journal of its own")
    JOURNAL.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(JOURNAL))
        try:
            yield receiver
        finally:
            JOURNAL.unlink()
            JOURNAL.parent.rmdir()


def test_journald(daemon: Daemon, journal: socket.socket) -> None:
    name = run(
        daemon, "echo for the journal", "--log-driver", "journald", "--label", "a.b=c", "--log-opt", "labels=a.b"
    )
    fields = dict(line.split(b"=", 1) for line in received(journal, 1)[0].splitlines())
    assert fields[b"MESSAGE"] == b"for the journal" and fields[b"PRIORITY"] == b"6"
    assert fields[b"CONTAINER_NAME"] == b"talks" and fields[b"A_B"] == b"c" and len(fields[b"CONTAINER_ID_FULL"]) == 64
    assert daemon.docker("logs", name).stdout == "for the journal\n"


def test_journald_where_there_is_none(daemon: Daemon) -> None:
    if JOURNAL.exists():
        pytest.skip("this machine has a journal")
    result = daemon.docker("run", "--rm", "--log-driver", "journald", "busybox", "true", check=False)
    assert result.returncode == 125 and "journald is not enabled on this host" in result.stderr
