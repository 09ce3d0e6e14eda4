"""A registry of ours, on a free port of the loopback interface."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Registry:
    """``python -m corten.registry serve`` in a process of its own."""

    def __init__(self, *flags: str) -> None:
        self.port = free_port()
        self.root = Path(tempfile.mkdtemp(prefix="corten-registry-", dir="/tmp"))
        self.flags = flags
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
                with urllib.request.urlopen(f"http://{self.address}/v2/", timeout=2):
                    return
            except OSError as error:
                if getattr(error, "code", None) == 401:
                    return
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise AssertionError((self.root / "log").read_text()[-3000:]) from error
                time.sleep(0.05)

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
