"""What is measured: each measure takes an engine and gives figures in the unit it names."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from bench import bursts, networks, transfers
from bench.engines import Engine
from bench.measure import Interleaved, Measure, once, timed


@contextmanager
def runs(engine: Engine, *options: str) -> Iterator[Callable[[], float]]:
    """``docker run --rm``."""
    yield lambda: once(lambda: engine.docker("run", "--rm", *options, "busybox", "true"))


@contextmanager
def execs(engine: Engine) -> Iterator[Callable[[], float]]:
    """``docker exec``."""
    engine.docker("run", "-d", "--name", "execs", "busybox", "sleep", "1000")
    try:
        yield lambda: once(lambda: engine.docker("exec", "execs", "true"))
    finally:
        engine.docker("rm", "-f", "execs")


def build_ten_steps(engine: Engine, rounds: int) -> float:
    dockerfile = "FROM busybox\n" + "".join(f"RUN echo {n}\n" for n in range(10))
    return timed(lambda: engine.docker("build", "--no-cache", "-", stdin=dockerfile.encode()), max(3, rounds // 5), 1)


def rebuild_cached(engine: Engine, rounds: int) -> float:
    dockerfile = "FROM busybox\n" + "".join(f"ENV N{n}={n}\n" for n in range(30))
    return timed(lambda: engine.docker("build", "-", stdin=dockerfile.encode()), max(3, rounds // 3), 1)


def list_containers(engine: Engine, rounds: int) -> float:
    return timed(lambda: engine.docker("ps", "-a"), rounds)


def idle_memory(engine: Engine, rounds: int, *, containers: int) -> float:
    """MB of all engine processes with idle containers."""
    del rounds
    names = [f"idle{n}" for n in range(containers)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: engine.docker("run", "-d", "--name", name, "busybox", "sleep", "100000"), names))
    time.sleep(2)
    try:
        return engine.memory()
    finally:
        engine.docker("rm", "-f", *names)


def copy_out(engine: Engine, rounds: int) -> float:
    """``docker cp`` of 1 GB out of a container."""
    engine.docker("run", "--name", "big", "busybox", "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=1024")
    target = engine.root / "copied"
    try:
        return timed(lambda: engine.docker("cp", "big:/big", str(target)), 3, 1)
    finally:
        engine.docker("rm", "-f", "big")
        target.unlink(missing_ok=True)


def read_logs(engine: Engine, rounds: int) -> float:
    """``docker logs`` of 1 million lines."""
    engine.docker("run", "--name", "talker", "busybox", "seq", "1000000")
    try:
        return timed(lambda: engine.docker("logs", "talker"), 3, 1)
    finally:
        engine.docker("rm", "-f", "talker")


MEASURES: list[Measure | Interleaved] = [
    Interleaved(
        "docker run --rm --net=none busybox true", "ms", lambda engine: runs(engine, "--net=none"), 6, False, None
    ),
    Interleaved("docker run --rm busybox true (bridge)", "ms", runs, 6, False, None),
    Interleaved("docker exec true", "ms", execs, 3.5, False, None),
    Measure("docker build --no-cache, ten RUN echo", "ms", build_ten_steps, 6),
    Measure("docker build, 30 cached steps", "ms", rebuild_cached, 3),
    Measure("docker build, context of 5,000 files", "ms", partial(transfers.context, files=5000), 1),
    Measure("docker ps -a", "ms", list_containers),
    Measure("docker cp of 1 GB", "ms", copy_out, 1),
    Measure("docker logs of 1,000,000 lines", "ms", read_logs, 1),
    *bursts.MEASURES,
    Measure("memory (PSS) with 50 idle containers", "MB", partial(idle_memory, containers=50), 2),
    Measure("memory (PSS) with 100 idle containers", "MB", partial(idle_memory, containers=100), 2),
    *networks.MEASURES,
    *transfers.MEASURES,
]
