"""Sessions against a daemon of canned answers: versions, errors, kept connections, streams, tunnels."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.api import version
from corten.client import session, transport
from corten.client.address import Address
from corten.client.session import Session, encode_query
from corten.errors import Conflict, Internal, Invalid, NotFound, Unavailable
from fakes.daemon_double import DaemonDouble, Request, reply


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonDouble]:
    double = DaemonDouble(tmp_path)
    yield double
    double.close()


@pytest.fixture
def talk(daemon: DaemonDouble) -> Iterator[Session]:
    opened = Session(Address("unix", path=daemon.path))
    yield opened
    opened.close()


def test_the_version_is_the_api_s_own() -> None:
    assert str(version.CURRENT) == session.API_VERSION


def test_one_connection_carries_many_requests(daemon: DaemonDouble, talk: Session) -> None:
    daemon.json("GET", "/info", {"A": 1})
    assert [talk.get("/info") for _ in range(3)] == [{"A": 1}] * 3
    assert daemon.connections == 1
    assert daemon.requests[1].target == "/v1.50/info"


def test_an_older_daemon_is_spoken_to_in_its_version(tmp_path: Path) -> None:
    double = DaemonDouble(tmp_path, version="1.41")
    double.json("GET", "/info", {})
    Session(Address("unix", path=double.path)).get("/info")
    assert double.requests[1].target == "/v1.41/info"


def test_a_version_can_be_asked_for(daemon: DaemonDouble, talk: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_API_VERSION", "1.30")
    daemon.json("GET", "/info", {})
    talk.get("/info")
    assert daemon.requests[1].target == "/v1.30/info"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Invalid), (404, NotFound), (409, Conflict), (500, Internal), (503, Unavailable), (418, Invalid)],
)
def test_failures(daemon: DaemonDouble, talk: Session, status: int, kind: type[Exception]) -> None:
    daemon.json("GET", "/x", {"message": "no such thing"}, status)
    with pytest.raises(kind, match="Error response from daemon: no such thing"):
        talk.get("/x")


def test_a_connection_that_the_daemon_closed_is_replaced(daemon: DaemonDouble, talk: Session) -> None:
    def once(_: Request, connection: socket.socket) -> None:
        reply(connection, b"{}")
        connection.shutdown(socket.SHUT_RDWR)

    daemon.handlers["POST", "/x"] = once
    talk.post("/x")
    daemon.json("GET", "/info", {})
    assert talk.get("/info") == {}


def test_bodies(daemon: DaemonDouble, talk: Session) -> None:
    daemon.json("POST", "/x", {})
    talk.post("/x", {"a": True, "b": False, "c": ["1", "2"], "d": {"k": "v"}, "e": None, "f": "x y/é"}, {"B": 1})
    talk.request("POST", "/x", body=iter([b"one", b"", b"two"])).read()
    first, second = daemon.requests[1:]
    assert first.query == "a=1&c=1&c=2&d=%7B%22k%22%3A%22v%22%7D&f=x%20y%2F%C3%A9"
    assert first.body == b'{"B":1}' and first.headers["content-type"] == "application/json"
    assert second.body == b"onetwo" and second.headers["transfer-encoding"] == "chunked"
    assert encode_query({"a": ""}) == ""


def test_objects_come_as_they_are_complete(daemon: DaemonDouble, talk: Session) -> None:
    daemon.handlers["GET", "/events"] = lambda _, connection: reply(
        connection, b'{"a":1}\r\n{"b":\n2}{"c":3}\n'.replace(b"\n2", b"2")
    )
    assert list(talk.request("GET", "/events").objects()) == [{"a": 1}, {"b": 2}, {"c": 3}]


def test_a_tunnel_keeps_what_came_early_and_can_be_half_closed(daemon: DaemonDouble, talk: Session) -> None:
    def echo(_: Request, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhi ")
        while data := connection.recv(100):
            connection.sendall(data.upper())

    daemon.handlers["POST", "/attach"] = echo
    tunnel = talk.hijack("/attach")
    tunnel.connection.sendall(b"abc")
    tunnel.connection.shutdown(socket.SHUT_WR)
    received = tunnel.early
    while data := tunnel.connection.recv(100):
        received += data
    tunnel.connection.close()
    assert received == b"hi ABC"


def test_no_daemon(tmp_path: Path) -> None:
    with pytest.raises(transport.NoDaemon, match=r"Cannot connect to the Corten daemon at unix://.*Is cortend running"):
        Session(Address("unix", path=str(tmp_path / "none"))).get("/info")


def test_a_daemon_is_started_where_that_is_wanted(daemon: DaemonDouble, tmp_path: Path) -> None:
    daemon.json("GET", "/info", {"A": 1})

    def start(refused: transport.NoDaemon) -> socket.socket:
        assert refused.address.path == str(tmp_path / "none")
        return transport.dial(Address("unix", path=daemon.path))

    assert Session(Address("unix", path=str(tmp_path / "none")), start=start).get("/info") == {"A": 1}


def test_ssh_command() -> None:
    words = transport.ssh_command(Address.parse("ssh://me@host:22/run/x.sock"))
    assert words[:8] == ["ssh", "-o", "ConnectTimeout=30", "-T", "-l", "me", "-p", "22"]
    assert words[8:10] == ["--", "host"] and "-H unix:///run/x.sock system dial-stdio" in words[10]
