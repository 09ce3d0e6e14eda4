"""The whole program against a daemon of canned answers: output, errors, exit statuses, order of requests."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corten.api import framing
from corten.cli.bootstrap import busybox, debian
from corten.cli.main import main
from corten.errors import Invalid
from fakes.daemon_double import DaemonDouble, Request, reply

CONTAINER: dict[str, Any] = {
    "Id": "a" * 64,
    "Names": ["/web"],
    "Image": "busybox",
    "ImageID": "sha256:1",
    "Command": "sleep 1000",
    "Created": 0,
    "Ports": [],
    "Labels": {},
    "State": "running",
    "Status": "Up 3 minutes",
    "Mounts": [],
    "NetworkSettings": {"Networks": {"bridge": {}}},
}


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DaemonDouble]:
    double = DaemonDouble(tmp_path)
    monkeypatch.setenv("CORTEN_HOST", f"unix://{double.path}")
    monkeypatch.setenv("CORTEN_CONFIG", str(tmp_path))
    yield double
    double.close()


def test_ps(daemon: DaemonDouble, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.json("GET", "/containers/json", [CONTAINER])
    assert main(["ps", "-a", "--filter", "status=running", "-q"]) == 0
    assert capsys.readouterr().out == "aaaaaaaaaaaa\n"
    assert daemon.requests[-1].query == "all=1&filters=%7B%22status%22%3A%7B%22running%22%3Atrue%7D%7D"
    assert main(["ps"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    assert lines[1].startswith('aaaaaaaaaaaa   busybox   "sleep 1000"') and lines[1].endswith(
        "Up 3 minutes             web"
    )


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["nonsense"], 1, "corten: unknown command: corten nonsense"),
        (["ps", "--bad"], 125, "unknown flag: --bad"),
        (["ps", "x"], 1, "corten: 'corten ps' accepts no arguments"),
        (["rm"], 1, "corten: 'corten rm' requires at least 1 argument"),
        (["rename", "a"], 1, "corten: 'corten rename' requires 2 arguments"),
        (["container", "nonsense"], 1, "corten: unknown command: corten container nonsense"),
        (["rm", "gone"], 1, "Error response from daemon: page not found"),
        (["run", "-p", "x", "image"], 125, "corten: invalid containerPort: x"),
        (["run", "--mount", "x", "image"], 125, 'invalid argument "x" for "--mount" flag'),
        (["-H", "unix:///nowhere", "ps"], 1, "Cannot connect to the Corten daemon at unix:///nowhere."),
    ],
)
def test_failures(
    daemon: DaemonDouble, capsys: pytest.CaptureFixture[str], words: list[str], status: int, message: str
) -> None:
    assert main(words) == status
    assert message in capsys.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0 and "Management Commands:" in capsys.readouterr().out
    assert main(["network"]) == 0 and "connect" in capsys.readouterr().out
    assert main(["help", "run"]) == 0 and "--publish list" in capsys.readouterr().out
    assert main(["--version"]) == 0 and capsys.readouterr().out.startswith("Corten version ")


def test_several_targets_go_on_after_a_failure(daemon: DaemonDouble, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.json("POST", "/containers/b/stop", None, 204)
    assert main(["stop", "a", "b"]) == 1
    shown = capsys.readouterr()
    assert shown.out == "b\n" and shown.err == "Error response from daemon: page not found\n"


def prepare_run(daemon: DaemonDouble, start: int = 204) -> None:
    def attach(_: Request, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n")
        connection.sendall(framing.encode(1, b"out\n") + framing.encode(2, b"err\n"))

    daemon.json("POST", "/containers/create", {"Id": "c1", "Warnings": ["careful"]}, 201)
    daemon.handlers["POST", "/containers/c1/attach"] = attach
    daemon.json("POST", "/containers/c1/wait", {"StatusCode": 3})
    message = {"message": 'exec: "x": executable file not found in $PATH: unknown'}
    daemon.json("POST", "/containers/c1/start", message if start >= 400 else None, start)


def test_run(daemon: DaemonDouble, capsys: pytest.CaptureFixture[str]) -> None:
    prepare_run(daemon)
    assert main(["run", "--rm", "busybox", "true"]) == 3
    shown = capsys.readouterr()
    assert shown.out == "out\n" and shown.err == "WARNING: careful\nerr\n"
    assert daemon.asked() == [
        "POST /containers/create",
        "POST /containers/c1/attach",
        "POST /containers/c1/wait",
        "POST /containers/c1/start",
    ]
    body = json.loads(daemon.requests[1].body)
    assert body["Cmd"] == ["true"] and body["HostConfig"]["AutoRemove"] is True


def test_run_detached(daemon: DaemonDouble, capsys: pytest.CaptureFixture[str]) -> None:
    prepare_run(daemon)
    assert main(["run", "-d", "busybox"]) == 0
    assert capsys.readouterr().out == "c1\n"
    assert "POST /containers/c1/attach" not in daemon.asked()


def test_run_what_is_not_there(daemon: DaemonDouble, capsys: pytest.CaptureFixture[str]) -> None:
    prepare_run(daemon, start=400)
    assert main(["run", "busybox", "x"]) == 127
    assert "Run 'corten run --help' for more information" in capsys.readouterr().err


def test_run_pulls_what_is_missing(daemon: DaemonDouble, capsys: pytest.CaptureFixture[str]) -> None:
    prepare_run(daemon)
    created = daemon.handlers["POST", "/containers/create"]

    def create(request: Request, connection: socket.socket) -> None:
        if "POST /images/create" in daemon.asked():
            created(request, connection)
        else:
            reply(connection, b'{"message":"No such image: busybox:latest"}', 404)

    daemon.handlers["POST", "/containers/create"] = create
    daemon.json("POST", "/images/create", {"status": "Pull complete", "progressDetail": {}, "id": "l"})
    assert main(["run", "busybox"]) == 3
    assert "Unable to find image 'busybox:latest' locally\nl: Pull complete" in capsys.readouterr().err
    assert main(["run", "--pull", "never", "other"]) == 3


def test_exec(daemon: DaemonDouble, capsys: pytest.CaptureFixture[str]) -> None:
    prepare_run(daemon)
    daemon.json("POST", "/containers/web/exec", {"Id": "e1"}, 201)
    daemon.handlers["POST", "/exec/e1/start"] = daemon.handlers["POST", "/containers/c1/attach"]
    daemon.json("GET", "/exec/e1/json", {"ExitCode": 4})
    assert main(["exec", "-e", "A=b", "web", "ls", "-l"]) == 4
    assert capsys.readouterr().out == "out\n"
    assert json.loads(daemon.requests[1].body)["Cmd"] == ["ls", "-l"]


def test_build(daemon: DaemonDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "Dockerfile").write_text("FROM scratch\n")
    lines = b'{"stream":"Step 1/1 : FROM scratch\\n"}\r\n{"aux":{"ID":"sha256:9"}}\r\n'
    daemon.handlers["POST", "/build"] = lambda _, connection: reply(connection, lines)
    assert main(["build", "-t", "x", "--build-arg", "A=1", "--iidfile", f"{tmp_path}/id", f"{tmp_path}/context"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "Step 1/1 : FROM scratch\n"  # as an older daemon tells it
    assert "#1 [internal] load build context\n" in shown.err and "#2 0.000 writing image sha256:9 done\n" in shown.err
    assert (tmp_path / "id").read_text() == "sha256:9"
    assert "t=x" in daemon.requests[-1].query and "buildargs=%7B%22A%22%3A%221%22%7D" in daemon.requests[-1].query
    failing = b'{"errorDetail":{"code":7,"message":"returned a non-zero code: 7"},"error":"x"}\r\n'
    daemon.handlers["POST", "/build"] = lambda _, connection: reply(connection, failing)
    assert main(["build", f"{tmp_path}/context"]) == 7


def test_inspect_goes_from_kind_to_kind(daemon: DaemonDouble, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.json("GET", "/networks/n", {"Name": "n"})
    assert main(["inspect", "-f", "{{.Name}}", "n"]) == 0
    assert capsys.readouterr().out == "n\n"
    assert main(["inspect", "gone"]) == 1
    shown = capsys.readouterr()
    assert shown.out == "[]\n" and shown.err == "Error: No such object: gone\n"


def test_listing_imports_nothing_slow() -> None:
    code = (
        "import sys; from corten.cli.main import main; import corten.cli.commands.ps, corten.cli.commands.run;"
        "import corten.client.session, corten.client.credentials; print('\\n'.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    slow = {
        "dataclasses",
        "inspect",
        "argparse",
        "subprocess",
        "urllib",
        "http",
        "ssl",
        "asyncio",
        "aiohttp",
        "threading",
        "tarfile",
    }
    assert not slow & set(done.stdout.split())


def test_debian_is_made_with_the_host_s_settings(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "x.sources").write_text(
        "Types: deb\nURIs: http://mirror.example/debian/\nSuites: x\n"
    )
    assert debian.host(str(tmp_path)).mirror == "http://mirror.example/debian"
    words = debian.arguments("bookworm", debian.Host("http://m/debian", "/k.gpg", "http://p:1"))
    assert words[:4] == ["mmdebstrap", "--variant=minbase", "--mode=root", "--format=tar"]
    assert "--keyring=/k.gpg" in words and '--aptopt=Acquire::http::Proxy "http://p:1"' in words
    assert "deb http://m/debian-security bookworm-security main" in words
    assert debian.parse_name("debian:trixie") == "trixie" and debian.parse_name("debian") == "stable"
    with pytest.raises(Invalid):
        debian.parse_name("debian:--evil")


def test_busybox_s_file_system_is_reproducible() -> None:
    program = busybox.Program(b"\x7fELF", ("ls", "sh"))
    first = b"".join(busybox.stream(program))
    assert first == b"".join(busybox.stream(program)) and b"bin/sh" in first and b"etc/passwd" in first
