"""The API's border on the wire: versions, unknown and unserved paths, hijacked streams, clients that leave."""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from corten.api.framing import Decoder
from rig.daemon import Daemon


class Connection(http.client.HTTPConnection):
    def __init__(self, daemon: Daemon) -> None:
        super().__init__("d", timeout=20)
        self.path = str(daemon.socket)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)


def call(daemon: Daemon, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
    connection = Connection(daemon)
    headers = {"Content-Type": "application/json"} if body is not None else {}
    connection.request(method, path, json.dumps(body) if body is not None else None, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    found = json.loads(text) if text.strip().startswith((b"{", b"[")) else text
    return answer.status, dict(answer.getheaders()), found


def made(daemon: Daemon, *command: str, **config: Any) -> str:
    host = {"NetworkMode": "none"} | config.pop("HostConfig", {})
    body = {"Image": "busybox", "Cmd": list(command), "HostConfig": host} | config
    status, _, answer = call(daemon, "POST", "/containers/create", body)
    assert status == 201, answer
    return str(answer["Id"])


def hijacked(daemon: Daemon, path: str, body: Any = None) -> tuple[socket.socket, str]:
    """A connection taken over, and the head of the answer."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(str(daemon.socket))
    data = json.dumps(body).encode() if body is not None else b""
    head = f"POST {path} HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: {len(data)}\r\n"
    sock.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + data)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += sock.recv(1)
    return sock, answer.decode()


def rest(sock: socket.socket) -> bytes:
    found = b""
    while data := sock.recv(65536):
        found += data
    sock.close()
    return found


def unframed(data: bytes) -> bytes:
    return b"".join(frame.data for frame in Decoder().feed(data))


def until(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v1.23/info", 400, "client version 1.23 is too old"),
        ("GET", "/v9.9/info", 400, "client version 9.9 is too new"),
        ("GET", "/nowhere", 404, "page not found"),
        ("GET", "/v1.50/nodes", 503, "This node is not a swarm manager"),
        ("POST", "/v1.50/swarm/leave", 503, "not part of a swarm"),
        ("POST", "/v1.50/swarm/init", 501, "not implemented"),
        ("GET", "/v1.24/containers/x/json", 404, "No such container: x"),
        ("GET", '/v1.50/containers/json?filters={"nope":["1"]}', 400, "invalid filter 'nope'"),
        ("POST", "/v1.24/containers/prune", 404, "page not found"),  # came with 1.25
        ("POST", "/v1.50/containers/x/wait?condition=nope", 400, "invalid condition"),
    ],
)
def test_refusals(daemon: Daemon, method: str, path: str, status: int, words: str) -> None:
    found, _, answer = call(daemon, method, path)
    assert (found, words in answer["message"]) == (status, True), answer


def test_ping_tells_what_clients_ask(daemon: Daemon) -> None:
    for method in ("GET", "HEAD"):
        status, headers, body = call(daemon, method, "/_ping")
        assert status == 200 and body == (b"OK" if method == "GET" else b"")
        assert headers["Api-Version"] == "1.50" and headers["Ostype"] == "linux" and headers["Builder-Version"] == "1"


@pytest.mark.parametrize(("version", "kind"), [("1.41", "raw-stream"), ("1.50", "multiplexed-stream")])
def test_attach_before_start_loses_nothing(daemon: Daemon, version: str, kind: str) -> None:
    container = made(daemon, "sh", "-c", "cat; echo end", OpenStdin=True, StdinOnce=True)
    sock, head = hijacked(daemon, f"/v{version}/containers/{container}/attach?stream=1&stdin=1&stdout=1")
    assert head.startswith("HTTP/1.1 101") and kind in head
    # Before there is a process to read it, and half-closed at once, as Docker's client does.
    sock.sendall(b"early\n" * 1000)
    sock.shutdown(socket.SHUT_WR)
    assert call(daemon, "POST", f"/containers/{container}/start")[0] == 204
    assert unframed(rest(sock)) == b"early\n" * 1000 + b"end\n"


def test_wait_sends_its_head_at_once(daemon: Daemon) -> None:
    container = made(daemon, "sh", "-c", "exit 3")
    connection = Connection(daemon)
    connection.request("POST", f"/containers/{container}/wait?condition=next-exit")
    answer = connection.getresponse()
    assert answer.status == 200
    call(daemon, "POST", f"/containers/{container}/start")
    assert json.loads(answer.read()) == {"StatusCode": 3}


def test_an_exec_tells_its_failure_in_the_stream(daemon: Daemon) -> None:
    container = made(daemon, "sleep", "100")
    call(daemon, "POST", f"/containers/{container}/start")
    _, _, answer = call(daemon, "POST", f"/containers/{container}/exec", {"Cmd": ["no-such"], "AttachStdout": True})
    sock, _ = hijacked(daemon, f"/exec/{answer['Id']}/start", {})
    assert b"executable file not found in $PATH" in unframed(rest(sock))
    assert call(daemon, "GET", f"/exec/{answer['Id']}/json")[2]["ExitCode"] == 127
    assert call(daemon, "POST", f"/exec/{answer['Id']}/start", {})[0] == 409


def test_a_terminals_output_in_frames_if_the_start_asks_so(daemon: Daemon) -> None:
    container = made(daemon, "sleep", "100")
    call(daemon, "POST", f"/containers/{container}/start")
    for asked, unpack in ((False, unframed), (True, bytes)):
        body = {"Cmd": ["echo", "hi"], "AttachStdout": True, "Tty": True}
        _, _, answer = call(daemon, "POST", f"/containers/{container}/exec", body)
        sock, _ = hijacked(daemon, f"/exec/{answer['Id']}/start", {"Tty": asked})
        assert unpack(rest(sock)) == b"hi\r\n"


def settled(directory: str) -> int:
    """How many descriptors there are once a start has come to rest: the next waiting shim's socket comes after it."""
    count, since = len(os.listdir(directory)), time.monotonic()
    while time.monotonic() - since < 0.7:
        time.sleep(0.05)
        if (now := len(os.listdir(directory))) != count:
            count, since = now, time.monotonic()
    return count


def answered(daemon: Daemon, method: str, path: str) -> socket.socket:
    """The socket of a request whose headers have come; an answer that is kept would keep it open."""
    connection = Connection(daemon)
    connection.request(method, path)
    sock = connection.sock
    with connection.getresponse() as response:
        status = response.status
    assert status == 200
    return sock


def test_clients_that_leave_leave_nothing(daemon: Daemon) -> None:
    assert daemon.process is not None
    directory = f"/proc/{daemon.process.pid}/fd"
    container = made(daemon, "cat", OpenStdin=True)
    created = made(daemon, "true")
    call(daemon, "POST", f"/containers/{container}/start")
    before = settled(directory)
    left: list[socket.socket] = []
    for _ in range(10):
        left.append(hijacked(daemon, f"/containers/{container}/attach?stream=1&stdin=1&stdout=1")[0])
        left.append(hijacked(daemon, f"/containers/{created}/attach?stream=1&stdout=1")[0])
        for method, path in (("GET", "/events"), ("GET", f"/containers/{container}/logs?follow=1&stdout=1")):
            left.append(answered(daemon, method, path))
        left.append(answered(daemon, "POST", f"/containers/{container}/wait"))
    assert len(os.listdir(directory)) >= before + 50
    for sock in left[::2]:
        sock.shutdown(socket.SHUT_WR)
    for sock in left:
        sock.close()
    until(lambda: len(os.listdir(directory)) <= before)


def test_reads_do_not_wait_for_a_stop(daemon: Daemon) -> None:
    container = made(daemon, "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    call(daemon, "POST", f"/containers/{container}/start")
    stopping = Connection(daemon)
    stopping.request("POST", f"/containers/{container}/stop?t=3")
    begun = time.monotonic()
    assert call(daemon, "GET", f"/containers/{container}/json")[2]["State"]["Running"]
    assert call(daemon, "GET", "/containers/json")[0] == 200
    assert time.monotonic() - begun < 2
    assert stopping.getresponse().status == 204
    assert call(daemon, "GET", f"/containers/{container}/json")[2]["State"]["ExitCode"] == 137


def test_many_at_once(daemon: Daemon) -> None:
    ids = [made(daemon, "sh", "-c", "exit 5", HostConfig={"AutoRemove": True}) for _ in range(20)]
    waits = []
    for container in ids:
        connection = Connection(daemon)
        connection.request("POST", f"/containers/{container}/wait?condition=removed")
        waits.append(connection)
    starts = []
    for container in ids:
        connection = Connection(daemon)
        connection.request("POST", f"/containers/{container}/start")
        starts.append(connection)
    assert {start.getresponse().status for start in starts} == {204}
    assert {json.loads(wait.getresponse().read())["StatusCode"] for wait in waits} == {5}
    assert call(daemon, "GET", "/containers/json?all=1")[2] == []
