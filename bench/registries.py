"""Registries side by side on the loopback interface: ours with one process and with two, and Debian's docker-registry.

Blobs are moved by curl; manifests are asked for by processes with plain sockets, so that the server is measured.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BLOB = 170_000_000
ROUNDS = 5
SECONDS = 3.0
CONNECTIONS = 4  # in each of two processes
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True)
class Row:
    """``goal`` is the ratio to docker-registry that one process of ours is to reach."""

    name: str
    unit: str
    take: Callable[[str, Path], float]
    goal: float


def upload(address: str, folder: Path) -> float:
    """MB a second of a monolithic push of random bytes."""
    path, digest = _blob(folder)
    samples = []
    for number in range(ROUNDS):
        request = urllib.request.Request(f"http://{address}/v2/bench/up{number}/blobs/uploads/", b"", method="POST")
        with urllib.request.urlopen(request) as answer:
            location = answer.headers["Location"]
        url = location if "://" in location else f"http://{address}{location}"
        joint = "&" if "?" in url else "?"
        begin = time.perf_counter()
        subprocess.run(
            ["curl", "-sf", "-T", path, "-H", "Expect:", "-o", "/dev/null", f"{url}{joint}digest={digest}"], check=True
        )
        samples.append(BLOB / 1e6 / (time.perf_counter() - begin))
    return statistics.median(samples)


def download(address: str, folder: Path) -> float:
    """MB a second of a pull, out of the page cache."""
    _, digest = _blob(folder)
    samples = []
    for _ in range(ROUNDS + 1):
        begin = time.perf_counter()
        subprocess.run(["curl", "-sf", "-o", "/dev/null", f"http://{address}/v2/bench/up0/blobs/{digest}"], check=True)
        samples.append(BLOB / 1e6 / (time.perf_counter() - begin))
    return statistics.median(samples[1:])


def manifests(address: str, folder: Path) -> float:
    """GET of one manifest by its tag, a second."""
    del folder
    _push_manifest(address)
    with multiprocessing.Pool(2) as pool:
        pool.map(_ask, [(address, 0.5)] * 2)
        return sum(pool.map(_ask, [(address, SECONDS)] * 2)) / SECONDS


def _ask(task: tuple[str, float]) -> int:
    """How many answers came in so many seconds, over some connections that each wait for their answer."""
    address, seconds = task
    host, _, port = address.rpartition(":")
    request = f"GET /v2/bench/app/manifests/v1 HTTP/1.1\r\nHost: {address}\r\nAccept: {MANIFEST}\r\n\r\n".encode()
    connections = [socket.create_connection((host, int(port))) for _ in range(CONNECTIONS)]
    done, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        for connection in connections:
            connection.sendall(request)
        for connection in connections:
            data = connection.recv(65536)
            assert data.startswith(b"HTTP/1.1 200"), data
            while b"\r\n\r\n" not in data or not data.rstrip().endswith(b"}"):
                data += connection.recv(65536)
            done += 1
    for connection in connections:
        connection.close()
    return done


def _push_manifest(address: str) -> None:
    config = b"{}"
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    with urllib.request.urlopen(
        urllib.request.Request(f"http://{address}/v2/bench/app/blobs/uploads/", b"", method="POST")
    ) as answer:
        location = answer.headers["Location"]
    url = location if "://" in location else f"http://{address}{location}"
    joint = "&" if "?" in url else "?"
    octets = {"Content-Type": "application/octet-stream"}
    urllib.request.urlopen(urllib.request.Request(f"{url}{joint}digest={digest}", config, octets, method="PUT")).close()
    part = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 2}
    body = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": part, "layers": [part] * 8}).encode()
    url = f"http://{address}/v2/bench/app/manifests/v1"
    urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": MANIFEST}, method="PUT")).close()


def _blob(folder: Path) -> tuple[str, str]:
    path = folder / "blob"
    if not path.exists():
        path.write_bytes(os.urandom(BLOB))
    with path.open("rb") as data:
        return str(path), f"sha256:{hashlib.file_digest(data, 'sha256').hexdigest()}"


@contextmanager
def corten(folder: Path, processes: int) -> Iterator[str]:
    address = _free()
    command = [sys.executable, "-m", "corten.registry", "serve", "--addr", address, "--root", str(folder / "store"),
               "--processes", str(processes), "--log-level", "WARNING"]  # fmt: skip
    with _served(command, address):
        yield address


@contextmanager
def docker_registry(folder: Path) -> Iterator[str]:
    address = _free()
    config = {
        "version": "0.1", "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "store")}}, "http": {"addr": address},
    }  # fmt: skip
    (folder / "config.yml").write_text(json.dumps(config))
    with _served(["docker-registry", "serve", str(folder / "config.yml")], address):
        yield address


@contextmanager
def _served(command: list[str], address: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://{address}/v2/", timeout=2).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        time.sleep(1)  # further processes start
        yield
    finally:
        process.terminate()
        process.wait(20)


def _free() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


ROWS = [
    Row("registry: blob push", "MB/s", upload, 0.8),
    Row("registry: blob pull", "MB/s", download, 0.8),
    Row("registry: manifests", "/s", manifests, 0.5),
]


def main(only: str = "") -> None:
    """Print the table."""
    chosen = [row for row in ROWS if only in row.name]
    if not chosen:
        return
    servers: dict[str, Callable[[Path], object]] = {
        "corten": lambda folder: corten(folder, 1),
        "2 processes": lambda folder: corten(folder, 2),
    }
    if shutil.which("docker-registry"):
        servers["docker-registry"] = docker_registry
    figures: dict[str, list[float]] = {}
    for name, server in servers.items():
        folder = Path(tempfile.mkdtemp(prefix="bench-registry-", dir="/tmp"))
        try:
            with server(folder) as address:  # type: ignore[attr-defined]
                figures[name] = [row.take(address, folder) for row in chosen]
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{'':32}" + "".join(f"{name:>18}" for name in figures) + f"{'ratio':>9}{'goal':>7}")
    for number, row in enumerate(chosen):
        cells = "".join(f"{values[number]:>13.0f} {row.unit:<4}" for values in figures.values())
        theirs = figures.get("docker-registry")
        ratio = f"{figures['corten'][number] / theirs[number]:.1f}x" if theirs else ""
        print(f"{row.name:<32}{cells}{ratio:>9}{row.goal:>6g}x")


if __name__ == "__main__":
    main(*sys.argv[1:2])
