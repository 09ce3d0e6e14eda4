"""Measures of images on their way: load, save, pull, push, and a large build context."""

from __future__ import annotations

import io
import statistics
import subprocess
import tarfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import images
from bench.engines import Engine
from bench.measure import Measure, timed
from bench.registry import registry

ROUNDS = 3


def repeated(action: Callable[[], object], after: Callable[[], object]) -> float:
    """Median milliseconds of ``action``; ``after`` undoes it, untimed, and the disk comes to rest."""
    samples = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        action()
        samples.append((time.perf_counter() - begin) * 1000)
        after()
        settle()
    return statistics.median(samples)


def settle() -> None:
    """Deletions in the background and dirty pages of one sample must not burden the next."""
    time.sleep(1.5)
    subprocess.run(["sync", "-f", "/tmp"], check=False)


def forget_blobs(engine: Engine) -> None:
    """Corten keeps compressed layers for an hour after ``rmi``; dockerd does not: none may use them."""
    for blob in engine.root.glob("data/content/blobs/sha256/*"):
        if blob.stat().st_size > 100_000:
            blob.unlink()


def load(engine: Engine, rounds: int, *, size: int) -> float:
    del rounds
    path = images.archive(size)
    path.read_bytes()  # from the page cache for everybody
    name = f"bench/{size}"
    return repeated(lambda: engine.docker("load", "-i", str(path)), lambda: engine.docker("rmi", "-f", name))


def save_after_build(engine: Engine, rounds: int) -> float:
    """``docker save`` of an image that was just built on one of 170 MB."""
    del rounds
    engine.docker("load", "-i", str(images.archive(170)))
    out = engine.root / "saved.tar"
    dockerfile = b"FROM bench/170\nCOPY --from=busybox /bin /tools\nENV A=1\n"
    try:
        engine.docker("build", "--no-cache", "-t", "bench/saved", "-", stdin=dockerfile)
        return repeated(lambda: engine.docker("save", "-o", str(out), "bench/saved"), out.unlink)
    finally:
        engine.docker("rmi", "-f", "bench/saved", "bench/170", check=False)


def pull(engine: Engine, rounds: int) -> float:
    """``docker pull`` of 170 MB, from our registry, of what GNU gzip compressed."""
    del rounds
    with registry() as address:
        name = f"{address}/bench/pulled"
        _push(engine, name)

        def remove() -> None:
            engine.docker("rmi", "-f", name, "bench/170", check=False)
            forget_blobs(engine)

        remove()
        settle()
        return repeated(lambda: engine.docker("pull", name), remove)


def push(engine: Engine, rounds: int) -> float:
    """``docker push`` of 170 MB that were never pushed before, to an empty registry each time."""
    del rounds
    samples = []
    for _ in range(ROUNDS):
        engine.docker("load", "-i", str(images.archive(170)))
        forget_blobs(engine)
        settle()
        with registry() as address:
            name = f"{address}/bench/pushed"
            begin = time.perf_counter()
            _push(engine, name, load=False)
            samples.append((time.perf_counter() - begin) * 1000)
        engine.docker("rmi", "-f", name, "bench/170")
        settle()
    return statistics.median(samples)


def _push(engine: Engine, name: str, *, load: bool = True) -> None:
    if load:
        engine.docker("load", "-i", str(images.archive(170)))
    engine.docker("tag", "bench/170", name)
    engine.docker("push", name)


def context(engine: Engine, rounds: int, *, files: int) -> float:
    """A build context of small files, sent and copied."""
    del rounds
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in [("Dockerfile", b"FROM busybox\nCOPY . /files\n")] + [
            (f"d{n % 50}/f{n}", f"{n}\n".encode() * 20) for n in range(files)
        ]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return timed(lambda: engine.docker("build", "--no-cache", "-", stdin=buffer.getvalue()), ROUNDS, 1)


def floor_untar(size: int) -> float:
    """Milliseconds of GNU tar for the layers of the archive: what the disk needs."""
    target = Path("/tmp/corten-bench-images/floor")
    with tarfile.open(images.archive(size)) as archive:
        names = [name for name in archive.getnames() if name.endswith("layer.tar")]
    subprocess.run(["rm", "-rf", target], check=True)
    target.mkdir()
    try:
        begin = time.perf_counter()
        for name in names:
            pipe = subprocess.Popen(["tar", "xOf", images.archive(size), name], stdout=subprocess.PIPE)
            subprocess.run(["tar", "x", "-C", target], stdin=pipe.stdout, check=True)
            pipe.wait()
        return (time.perf_counter() - begin) * 1000
    finally:
        subprocess.run(["rm", "-rf", target], check=True)


MEASURES = [
    Measure("docker load of 170 MB", "ms", partial(load, size=170), 2),
    Measure("docker load of 600 MB", "ms", partial(load, size=600), 2),
    Measure("docker save after a build on 170 MB", "ms", save_after_build, 3),
    Measure("docker pull of 170 MB (our registry)", "ms", pull, 1.5),
    Measure("docker push of 170 MB (our registry)", "ms", push, 1),
    Measure("docker build, context of 20,000 files", "ms", partial(context, files=20000), 1),
]
