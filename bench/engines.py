"""The engines under comparison: each with its own roots, socket and bridge, started here and removed afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

BIN = Path(sys.executable).parent


@dataclass
class Engine:
    """A running engine, driven through the real docker command line."""

    name: str
    command: list[str]
    root: Path
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def host(self) -> str:
        return f"unix://{self.root}/sock"

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "DOCKER_HOST": self.host,
            "DOCKER_BUILDKIT": "0",
            "DOCKER_CONFIG": str(self.root / "config"),
        }

    def docker(
        self, *arguments: str, stdin: bytes | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        result = subprocess.run(
            ["docker", *arguments], env=self.environment, input=stdin, capture_output=True, check=False
        )
        if check and result.returncode != 0:
            raise RuntimeError(f"{self.name}: docker {' '.join(arguments)}: {result.stderr.decode(errors='replace')}")
        return result

    def start(self) -> None:
        # Inherited by all that the engine starts: how its processes are found.
        marked = os.environ | {"BENCH_ROOT": str(self.root)}
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, start_new_session=True, env=marked)
        deadline = time.monotonic() + 60
        while self.docker("version", check=False).returncode != 0:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError(f"{self.name} did not start:\n{(self.root / 'log').read_text()[-2000:]}")
            time.sleep(0.1)

    def processes(self) -> list[int]:
        """Every process of the engine itself: all that mention its root, and what of Corten's these have made.

        Corten's zygote has an environment of its own making, and its shims are named after their container.
        """
        found: set[int] = set()
        parents: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with suppress(OSError):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                mine = str(self.root).encode() in (entry / "environ").read_bytes()
                if (str(self.root) in command or mine) and "docker run" not in command:
                    found.add(int(entry.name))
                elif command.startswith("corten-"):
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        while more := {pid for pid, parent in parents.items() if parent in found and pid not in found}:
            found |= more
        return sorted(found)

    def memory(self) -> float:
        """Proportional set size of the engine's processes, in MB."""
        total = 0
        for pid in self.processes():
            with suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1])
        return total / 1000

    def stop(self) -> None:
        with suppress(RuntimeError):
            if ids := self.docker("ps", "-aq", check=False).stdout.decode().split():
                self.docker("rm", "-f", *ids, check=False)
        if self.process is not None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.5)
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            if str(self.root) in line.split()[4]:
                subprocess.run(["umount", "-l", line.split()[4]], capture_output=True, check=False)
        shutil.rmtree(self.root, ignore_errors=True)


@contextmanager
def corten() -> Iterator[Engine]:
    """Ours."""
    root = Path(tempfile.mkdtemp(prefix="bench-c-", dir="/tmp"))
    engine = Engine("corten", [
        str(BIN / "cortend"), "-H", f"unix://{root}/sock", "--data-root", f"{root}/data", "--exec-root", f"{root}/run",
        "--pidfile", f"{root}/pid", "--bridge", "benchc0", "--bip", "10.98.1.1/24",
    ], root)  # fmt: skip
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()
        subprocess.run([sys.executable, "scripts/drop-bridge", "benchc0"], check=False)


@contextmanager
def dockerd() -> Iterator[Engine]:
    """Debian's, as it comes: overlay2, json-file, its own bridge."""
    root = Path(tempfile.mkdtemp(prefix="bench-d-", dir="/tmp"))
    existed = Path("/sys/class/net/docker0").exists()
    engine = Engine("dockerd", [
        "dockerd", "-H", f"unix://{root}/sock", "--data-root", f"{root}/data", "--exec-root", f"{root}/run",
        "--pidfile", f"{root}/pid", "--bip", "10.98.2.1/24",
    ], root)  # fmt: skip
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()
        if not existed:
            subprocess.run(["ip", "link", "del", "docker0"], capture_output=True, check=False)
            for table in (("ip", "nat"), ("ip", "filter"), ("ip6", "filter"), ("ip6", "nat")):
                subprocess.run(["nft", "delete", "table", *table], capture_output=True, check=False)


ENGINES = {"corten": corten, "dockerd": dockerd}
