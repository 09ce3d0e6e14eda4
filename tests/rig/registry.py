"""A registry of ours, on a free port of the loopback interface."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def make_certificate(certificate: Path, key: Path) -> None:
    """For the loopback interface, signed by itself."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip


class Registry:
    """``python -m corten.registry serve`` in a process of its own."""

    def __init__(self, *flags: str, tls: bool = False) -> None:
        self.port = free_port()
        self.root = Path(tempfile.mkdtemp(prefix="corten-registry-", dir="/tmp"))
        self.flags = flags
        self.scheme = "http"
        if tls:
            self.scheme = "https"
            self.flags += ("--tls-cert", str(self.root / "cert.pem"), "--tls-key", str(self.root / "key.pem"))
            make_certificate(self.root / "cert.pem", self.root / "key.pem")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "corten.registry", "serve", "--addr", self.address,
                 "--root", str(self.root / "data"), *self.flags],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        deadline = time.monotonic() + 20
        while True:
            try:
                with self.open("/v2/"):
                    return
            except OSError as error:
                if getattr(error, "code", None) == 401:
                    return
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise AssertionError((self.root / "log").read_text()[-3000:]) from error
                time.sleep(0.05)

    def open(self, path: str, headers: dict[str, str] | None = None) -> Any:
        """GET, as whoever the headers say."""
        request = urllib.request.Request(f"{self.scheme}://{self.address}{path}", headers=headers or {})
        unverified = ssl._create_unverified_context() if self.scheme == "https" else None
        return urllib.request.urlopen(request, timeout=10, context=unverified)

    def json(self, path: str) -> Any:
        with self.open(path) as answer:
            return json.load(answer)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def remove(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.root, ignore_errors=True)
