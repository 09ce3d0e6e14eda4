"""Measures of networks: throughput between containers and through a published port, large networks, names."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import docker

from bench.engines import Engine
from bench.measure import Interleaved, Measure

PEER = str(Path(__file__).with_name("peer.py"))
PORT = 5201
BYTES = 1 << 30
SAMPLES = 8  # of names: the best counts


def inside(engine: Engine, container: str, *arguments: str) -> list[str]:
    """The command that runs a peer in a container's network namespace."""
    pid = engine.docker("inspect", "-f", "{{.State.Pid}}", container).stdout.decode().strip()
    return ["nsenter", "-t", pid, "-n", sys.executable, "-I", PEER, *arguments]


@contextmanager
def containers(engine: Engine, network: str, *flags: tuple[str, ...]) -> Iterator[list[str]]:
    """Idle containers on a network of their own, one for each tuple of flags."""
    names = [f"peer{number}" for number in range(len(flags))]
    engine.docker("network", "create", network)
    try:
        for name, own in zip(names, flags, strict=True):
            engine.docker("run", "-d", "--name", name, "--network", network, *own, "busybox", "sleep", "100000")
        yield names
    finally:
        engine.docker("rm", "-f", *names, check=False)
        engine.docker("network", "rm", network, check=False)


def transfer(engine: Engine, server: str, client: list[str]) -> float:
    """Megabytes a second of one transfer."""
    with subprocess.Popen(inside(engine, server, "sink", str(PORT)), stdout=subprocess.PIPE, text=True) as sink:
        assert sink.stdout is not None
        assert sink.stdout.readline() == "ready\n"
        answer = subprocess.run(client, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            sink.kill()
            raise RuntimeError(answer.stderr)
        return float(answer.stdout) / 1e6


@contextmanager
def between_containers(engine: Engine) -> Iterator[Callable[[], float]]:
    with containers(engine, "pair", (), ()) as (server, client):
        format_ = "{{.NetworkSettings.Networks.pair.IPAddress}}"
        address = engine.docker("inspect", "-f", format_, server).stdout.decode().strip()
        command = inside(engine, client, "source", address, str(PORT), str(BYTES))
        yield lambda: transfer(engine, server, command)


@contextmanager
def published(engine: Engine) -> Iterator[Callable[[], float]]:
    """From the host, through a published port of the host's own address."""
    with containers(engine, "single", ("-p", str(PORT))) as (server,):
        port = engine.docker("port", server, f"{PORT}/tcp").stdout.decode().split()[0].rpartition(":")[2]
        command = [sys.executable, "-I", PEER, "source", host_address(), port, str(BYTES)]
        yield lambda: transfer(engine, server, command)


def host_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("192.0.2.1", 9))
        return str(sock.getsockname()[0])


def two_hundredth(engine: Engine, rounds: int) -> float:
    """What joining a network of some 190 containers costs, as a multiple of joining an empty one."""
    del rounds
    client = docker.APIClient(base_url=engine.host, version="auto", timeout=120)
    client.create_network("crowd")
    made, costs = [], []
    try:
        for _ in range(200):
            made.append(client.create_container("busybox", ["sleep", "100000"])["Id"])
            client.start(made[-1])
            begin = time.perf_counter()
            client.connect_container_to_network(made[-1], "crowd")
            costs.append(time.perf_counter() - begin)
        return statistics.median(costs[-15:]) / statistics.median(costs[:15])
    finally:
        for identity in made:
            client.remove_container(identity, force=True)
        client.remove_network("crowd")
        client.close()


def names(engine: Engine, rounds: int) -> float:
    """Answers of the embedded DNS for each second of the daemon's processor time."""
    del rounds
    assert engine.process is not None
    with containers(engine, "named", (), ()) as (asked, asking):
        best = 0.0
        for _ in range(SAMPLES):
            before = cpu(engine.process.pid)
            answer = subprocess.run(
                inside(engine, asking, "ask", asked, "2"), capture_output=True, text=True, check=True
            )
            best = max(best, int(answer.stdout) / (cpu(engine.process.pid) - before))
        return best


def cpu(pid: int) -> float:
    """Seconds of processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


MEASURES: list[Measure | Interleaved] = [
    Interleaved("1 GB from container to container", "MB/s", between_containers, 0.95),
    Interleaved("1 GB from the host, published port", "MB/s", published, 0.95),
    Measure("joining a network of 200 : an empty one", "x", two_hundredth, 1),
    Measure("names answered on one core", "/s", names, more_is_better=True),
]
