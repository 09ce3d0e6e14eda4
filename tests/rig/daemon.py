"""A cortend of a test's own: its own data root, exec root, socket and bridge, so that several run side by side."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import docker

BIN = Path(sys.executable).parent


class Daemon:
    """One cortend.  ``docker`` and ``corten`` run the two command lines against it; ``client()`` gives docker-py's."""

    def __init__(self, number: int, *flags: str) -> None:
        # Short paths: a unix socket's may have 107 bytes.
        self.root = Path(tempfile.mkdtemp(prefix=f"corten-t{number}-", dir="/tmp"))
        self.socket = self.root / "s.sock"
        self.data_root = self.root / "data"
        self.exec_root = self.root / "run"
        self.log = self.root / "log"
        self.bridge = f"ctn{os.getpid() % 10000}x{number}"
        self.subnet = f"10.{100 + os.getpid() % 100}.{number}.1/24"
        self.flags = flags
        self.process: subprocess.Popen[bytes] | None = None
        self.config = self.root / "docker-config"
        self.config.mkdir()

    @property
    def host(self) -> str:
        return f"unix://{self.socket}"

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "DOCKER_HOST": self.host,
            "CORTEN_HOST": self.host,
            "DOCKER_CONFIG": str(self.config),
            "DOCKER_BUILDKIT": "0",
        }

    def command(self) -> list[str]:
        return [
            str(BIN / "cortend"), "-H", self.host,
            "--data-root", str(self.data_root), "--exec-root", str(self.exec_root),
            "--pidfile", str(self.root / "pid"), "--bridge", self.bridge, "--bip", self.subnet,
            *self.flags,
        ]  # fmt: skip

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        deadline = time.monotonic() + 30
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"cortend did not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.02)

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(5)
            try:
                probe.connect(str(self.socket))
                probe.sendall(b"GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
                return b" 200 " in probe.recv(64)
            except OSError:
                return False

    def kill(self) -> None:
        """kill -9: the daemon gets no chance to tidy up."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()

    def stop(self) -> None:
        """Ask the daemon to end; containers run on."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"cortend did not end:\n{self.log.read_text()[-4000:]}") from None

    def zygote_pids(self) -> list[int]:
        """The fork servers of this daemon."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                    if "zygote" in " ".join(command) and str(self.exec_root) in " ".join(command):
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found

    def kill_zygote(self) -> None:
        for pid in self.zygote_pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def remove(self) -> None:
        """Remove every container and network, end the daemon, delete its files."""
        try:
            if not self.answers():
                self.start()
            ids = self.docker("ps", "-aq").stdout.split()
            if ids:
                self.docker("rm", "-fv", *ids, check=False)
            self.docker("network", "prune", "-f", check=False)
            self.stop()
        finally:
            if self.process is not None and self.process.poll() is None:
                self.kill()
            self.kill_zygote()
            subprocess.run(["ip", "link", "del", self.bridge], capture_output=True, check=False)
            self.drop_tables()
            shutil.rmtree(self.root, ignore_errors=True)

    def drop_tables(self) -> None:
        """A daemon's own firewall table outlives it by design; a test's must not."""
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False).stdout
        for family, name in re.findall(r"table (\S+) (\S+)", tables):
            if name.endswith(self.bridge):
                subprocess.run(["nft", "delete", "table", family, name], capture_output=True, check=False)

    def docker(
        self, *arguments: str, check: bool = True, stdin: str | bytes | None = None, timeout: float = 100
    ) -> subprocess.CompletedProcess[str]:
        """Run the real docker command line against this daemon."""
        return self.run("docker", *arguments, check=check, stdin=stdin, timeout=timeout)

    def corten(
        self, *arguments: str, check: bool = True, stdin: str | bytes | None = None, timeout: float = 100
    ) -> subprocess.CompletedProcess[str]:
        """Run our own command line against this daemon."""
        return self.run(str(BIN / "corten"), *arguments, check=check, stdin=stdin, timeout=timeout)

    def run(
        self, *command: str, check: bool = True, stdin: str | bytes | None = None, timeout: float = 100
    ) -> subprocess.CompletedProcess[str]:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        result = subprocess.run(
            command, env=self.environment, input=data, stdin=None if data is not None else subprocess.DEVNULL,
            capture_output=True, timeout=timeout, check=False,
        )  # fmt: skip
        done = subprocess.CompletedProcess(
            command, result.returncode, result.stdout.decode(errors="replace"), result.stderr.decode(errors="replace")
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} exited {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def client(self) -> docker.DockerClient:
        return docker.DockerClient(base_url=self.host, version="auto", timeout=60)
