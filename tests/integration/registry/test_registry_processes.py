"""Several processes on one socket: restarted when they die, counted together, and gone with the first."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from rig.registry import Registry


def children(pid: int) -> set[int]:
    return {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def runs(pid: int) -> bool:
    """A process that nobody waits for stays a zombie in some containers."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def total(registry: Registry) -> int:
    """How many requests for the base all processes have answered."""
    with registry.open("/metrics") as answer:
        found = re.search(r'requests_total\{kind="base",method="GET",status="200"\} (\d+)', answer.read().decode())
    return int(found[1]) if found else 0


def tally(pid: int) -> str:
    entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return next(entry.partition("=")[2] for entry in entries if entry.startswith("CORTEN_REGISTRY_TALLY="))


def eventually(condition: object, what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture
def registry() -> Registry:
    registry = Registry("--processes", "3")
    registry.start()
    yield registry
    registry.remove()


def test_process_that_dies_is_replaced(registry: Registry) -> None:
    assert registry.process is not None
    first = children(registry.process.pid)
    assert len(first) == 2
    time.sleep(2)  # one that dies sooner is replaced after a pause
    victim = min(first)
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: len(children(registry.process.pid) - {victim}) == 2, "no other process came")
    for _ in range(20):
        registry.json("/v2/")
    workers = children(registry.process.pid)
    folder = Path(tally(min(workers)))
    assert folder.is_dir()
    registry.kill()  # the first: the others follow
    eventually(lambda: not any(map(runs, workers)), "processes were left behind")
    assert not folder.exists()


def test_metrics_are_those_of_all_processes(registry: Registry) -> None:
    before = total(registry)
    for _ in range(60):
        registry.json("/v2/")
    eventually(lambda: total(registry) == before + 60, "some requests are not counted")


def test_stops_at_once_while_a_client_still_sends_what_was_refused(registry: Registry) -> None:
    assert registry.process is not None
    with socket.create_connection(("127.0.0.1", registry.port)) as client:
        head = b"PUT /v2/a/blobs/uploads/none?digest=sha256:00 HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n"
        client.sendall(head + b"x" * 1000)
        assert client.recv(4096).startswith(b"HTTP/1.1 4")
        registry.process.terminate()
        assert registry.process.wait(20) == 0
    log = (registry.root / "log").read_text()
    assert "Traceback" not in log and "stopped" in log
