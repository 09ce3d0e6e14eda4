"""A machine for containers of busybox: bundles made by hand, a supervisor, and a check that nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import struct
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from corten.runtime.rehearsal import DEFAULT_CAPABILITIES
from corten.supervisor.model import Client, ExitRecord, ShimOptions
from corten.supervisor.service import Supervisor, Task
from corten.supervisor.task import stream_pair

CAPABILITIES = list(DEFAULT_CAPABILITIES)
_SAFE = ["nosuid", "noexec", "nodev"]
_MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc", "options": _SAFE},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*_SAFE, "ro"]},
    {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": [*_SAFE, "ro"]},
    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": _SAFE},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [*_SAFE, "mode=1777", "size=67108864"]},
]


def busybox() -> str:
    for path in ("/bin/busybox", "/usr/bin/busybox"):
        if os.path.exists(path):
            return path
    pytest.skip("busybox-static is not installed")


class Machine:
    """Everything beneath one temporary directory."""

    def __init__(self, root: Path, group: str) -> None:
        self.root = root
        self.group = group
        self.base = root / "base"
        self.made = 0
        self._make_base(busybox())

    def _make_base(self, program: str) -> None:
        for name in ("bin", "etc", "root"):
            (self.base / name).mkdir(parents=True)
        (self.base / "tmp").mkdir(mode=0o1777)
        shutil.copy(program, self.base / "bin/busybox")
        names = subprocess.run([program, "--list"], check=True, capture_output=True, text=True).stdout.split()
        for name in names:
            if name != "busybox":
                os.symlink("busybox", self.base / "bin" / name)
        (self.base / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/var/www:/bin/sh\n")
        (self.base / "etc/group").write_text("root:x:0:\nwww:x:33:\nextra:x:44:www\n")

    def supervisor(self) -> Supervisor:
        return Supervisor(self.root / "exec", cgroup_parent=self.group)

    def bundle(
        self,
        args: list[str],
        *,
        tty: bool = False,
        stdin: bool = False,
        user: str = "",
        process: dict[str, Any] | None = None,
        linux: dict[str, Any] | None = None,
        mounts: list[dict[str, Any]] | None = None,
        namespaces: list[dict[str, str]] | None = None,
        options: dict[str, Any] | None = None,
        **spec: Any,
    ) -> Path:
        self.made += 1
        bundle = self.root / "containers" / f"c{self.made}"
        for name in ("upper", "work"):
            (bundle / name).mkdir(parents=True)
        kinds = ("pid", "network", "ipc", "uts", "mount", "cgroup")
        body = {
            "process": {
                "args": args,
                "env": ["PATH=/bin:/usr/bin"],
                "cwd": "/",
                "terminal": tty,
                "user": {"username": user},
                "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES),
                **(process or {}),
            },
            "hostname": bundle.name,
            "mounts": [*_MOUNTS, *(mounts or [])],
            "linux": {
                "namespaces": namespaces if namespaces is not None else [{"type": kind} for kind in kinds],
                "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/sys/firmware"],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
                **(linux or {}),
            },
            **spec,
        }
        layers = [f"lowerdir={self.base}", f"upperdir={bundle}/upper", f"workdir={bundle}/work", "volatile"]
        shim = ShimOptions(tty=tty, open_stdin=stdin, stdin_once=stdin, log_path=f"{bundle}/log", **(options or {}))
        (bundle / "config.json").write_text(json.dumps(body))
        (bundle / "rootfs.json").write_text(json.dumps([{"type": "overlay", "source": "overlay", "options": layers}]))
        (bundle / "shim.json").write_text(json.dumps(shim.to_json()))
        return bundle

    def run(self, work: Callable[[Supervisor], Awaitable[Any]]) -> Any:
        """Run a coroutine with an open supervisor, and close it."""

        async def main() -> Any:
            supervisor = self.supervisor()
            await supervisor.open()
            try:
                return await work(supervisor)
            finally:
                await supervisor.close()

        return asyncio.run(asyncio.wait_for(main(), 60))

    def outcome(self, args: list[str], *, data: bytes | None = None, **options: Any) -> Outcome:
        """Run one container to its end."""

        async def work(supervisor: Supervisor) -> Outcome:
            task = await supervisor.create(self.bundle(args, stdin=data is not None, **options))
            stream = await task.attach(stdin=data is not None, stdout=True, stderr=True)
            try:
                await task.start()
            except BaseException:
                stream.close()
                await task.delete()
                raise
            output, _ = await asyncio.gather(read_all(stream), feed(stream, data))
            record = await task.wait()
            await task.delete()
            parts = {1: output, 2: b""} if options.get("tty") else unframe(output)
            return Outcome(record, parts[1], parts[2])

        result: Outcome = self.run(work)
        return result


class Outcome:
    """What a container said and how it ended."""

    def __init__(self, record: ExitRecord, out: bytes, err: bytes) -> None:
        self.record = record
        self.status = record.status
        self.out = out
        self.err = err


async def read_all(stream: Any) -> bytes:
    loop = asyncio.get_running_loop()
    chunks = []
    while data := await loop.sock_recv(stream, 1 << 16):
        chunks.append(data)
    return b"".join(chunks)


async def feed(stream: Any, data: bytes | None) -> None:
    if data is not None:
        await asyncio.get_running_loop().sock_sendall(stream, data)
    stream.shutdown(1)  # the docker CLI half-closes every attach


def unframe(data: bytes) -> dict[int, bytes]:
    parts: dict[int, list[bytes]] = {1: [], 2: []}
    while data:
        number, length = struct.unpack(">BxxxL", data[:8])
        parts[number].append(data[8 : 8 + length])
        data = data[8 + length :]
    return {number: b"".join(chunks) for number, chunks in parts.items()}


def exec_process(args: list[str], **process: Any) -> dict[str, Any]:
    """OCI's ``process`` of an exec."""
    capabilities = dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES)
    return {"args": args, "env": ["PATH=/bin"], "capabilities": capabilities, **process}


async def run_attached(task: Task, exec_id: str, args: list[str]) -> Outcome:
    """One exec to its end, with a client from the first byte on: what may have been announced."""
    stream, theirs = stream_pair()
    client = Client(False, True, True)
    with theirs:
        await task.exec(exec_id, exec_process(args), tty=False, stdin=False, client=client, stream=theirs)
    output = await read_all(stream)
    record = await task.wait(exec_id)
    stream.close()
    parts = unframe(output)
    return Outcome(record, parts[1], parts[2])


async def run_exec(task: Task, args: list[str], *, data: bytes | None = None, **process: Any) -> Outcome:
    """One exec to its end."""
    exec_id = os.urandom(4).hex()
    tty = bool(process.pop("tty", False))
    body = exec_process(args, **process)
    stream = await task.attach(exec_id=exec_id, stdin=data is not None, stdout=True, stderr=True)
    await task.exec(exec_id, body, tty=tty, stdin=data is not None)
    output, _ = await asyncio.gather(read_all(stream), feed(stream, data))
    record = await task.wait(exec_id)
    stream.close()
    parts = {1: output, 2: b""} if tty else unframe(output)
    return Outcome(record, parts[1], parts[2])


def cgroup_directories(group: str) -> list[str]:
    found = []
    for mount in os.listdir("/sys/fs/cgroup"):
        path = Path("/sys/fs/cgroup", mount + group)
        if path.is_dir():
            found += [str(each) for each in path.iterdir() if each.is_dir()]
    unified = Path("/sys/fs/cgroup" + group)
    return found + ([str(each) for each in unified.iterdir() if each.is_dir()] if unified.is_dir() else [])


def processes_of(group: str) -> list[str]:
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            line = Path("/proc", name, "cmdline").read_bytes()
            memberships = Path("/proc", name, "cgroup").read_text()
        except OSError:
            continue
        if f"{group}/" in memberships:
            found.append(f"{name} {line!r}")
    return found


def remove_if_empty(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.rmdir()
