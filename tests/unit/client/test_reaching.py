"""Ways to a daemon besides a unix socket: ssh, TLS, and starting one."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.client import address, autostart, transport
from corten.client.address import Address, Tls
from corten.client.session import Session
from corten.errors import Unavailable
from fakes.daemon_double import DaemonDouble, reply

# Stands for ssh: leaves out its own words and runs the remote command here.
SSH = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
shift 2
exec sh -c "$*"
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonDouble]:
    double = DaemonDouble(tmp_path)
    double.json("GET", "/info", {"A": 1})
    yield double
    double.close()


@pytest.mark.skipif(sys.platform == "win32", reason="needs unix sockets")
def test_through_ssh(daemon: DaemonDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(SSH)
    program.chmod(0o755)
    (tmp_path / "bin" / "corten").write_text(f'#!/bin/sh\nexec {sys.executable} -m corten.cli "$@"\n')
    (tmp_path / "bin" / "corten").chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    talk = Session(Address.parse(f"ssh://me@far{daemon.path}"))
    assert talk.get("/info") == {"A": 1} and talk.get("/info") == {"A": 1}
    assert daemon.connections == 1
    talk.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_tls(tmp_path: Path) -> None:
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    files = ["-keyout", f"{tmp_path}/key.pem", "-out", f"{tmp_path}/ca.pem"]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key.pem")
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_serve_tls, args=(listener, context), daemon=True).start()
    place = Address("tcp", host="localhost", port=listener.getsockname()[1])
    assert Session(place._replace(tls=Tls(ca=f"{tmp_path}/ca.pem"))).get("/info") == {}
    assert Session(place._replace(tls=Tls(verify=False))).get("/info") == {}
    with pytest.raises(Unavailable, match="certificate verify failed"):
        Session(place._replace(tls=Tls())).get("/info")
    listener.close()


def _serve_tls(listener: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return
        try:
            with context.wrap_socket(plain, server_side=True) as connection:
                while connection.recv(65536):
                    reply(connection, b"{}", extra="Api-Version: 1.50\r\n")
        except OSError:
            continue


def refused(path: Path, *, is_default: bool = True) -> transport.NoDaemon:
    return transport.NoDaemon(Address("unix", path=str(path), is_default=is_default))


@pytest.fixture
def lonely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root of our own, in which nothing runs."""
    if sys.platform != "linux":
        pytest.skip("a daemon is started on Linux only")
    monkeypatch.setattr(autostart, "LOCK", str(tmp_path / "start.lock"))
    monkeypatch.setattr(autostart, "LOG", str(tmp_path / "log"))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    return tmp_path


def test_a_daemon_is_started_and_waited_for(lonely: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lonely / "s.sock"
    code = f"import socket; s = socket.socket(socket.AF_UNIX); s.bind({str(path)!r}); s.listen(); s.accept()[0].recv(1)"
    monkeypatch.setattr(autostart, "program", lambda: [sys.executable, "-c", code])
    autostart.start(refused(path)).close()


def test_one_that_fails_tells_its_last_words(lonely: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autostart, "program", lambda: ["sh", "-c", "echo no room left; exit 3"])
    with pytest.raises(Unavailable, match=r"exit status 3") as failed:
        autostart.start(refused(lonely / "s.sock"))
    assert failed.value.hint is not None and "no room left" in failed.value.hint


def test_only_root_and_only_the_default_socket(lonely: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autostart, "program", lambda: pytest.fail("must not be started"))
    with pytest.raises(transport.NoDaemon):
        autostart.start(refused(lonely / "s.sock", is_default=False))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(transport.NoDaemon, match="sudo cortend"):
        autostart.start(refused(lonely / "s.sock"))


def test_the_default_socket_is_the_daemon_s() -> None:
    assert address.default().path == "/run/corten/corten.sock"
