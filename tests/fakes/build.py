"""The builder's ports without kernel or daemon: snapshots are whole directories, RUN is a tiny interpreter."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corten.build.args import Platforms
from corten.build.filetree import digest_of, walk
from corten.build.ports import BaseImage, DiffResult, MountLike, Ports, Progress, RunRequest
from corten.build.solve import Builder
from corten.errors import NotFound


@dataclass(frozen=True)
class FakeMount:
    type: str
    source: str
    options: tuple[str, ...] = ()


class FakeSnapshots:
    """A directory with everything, a snapshot."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.names: dict[str, Path] = {}
        self.parents: dict[str, str | None] = {}
        self.made = 0

    def prepare(self, key: str, parent: str | None, *, volatile: bool = False) -> None:
        self.made += 1
        path = self.directory / str(self.made)
        if parent is None:
            path.mkdir(parents=True)
        else:
            subprocess.run(["cp", "-a", self.names[parent], path], check=True)
        self.names[key] = path
        self.parents[key] = parent

    def mounts(self, key: str) -> Sequence[MountLike]:
        return [FakeMount("bind", str(self.names[key]))]

    def commit(self, key: str, name: str) -> None:
        path = self.names.pop(key)
        self.parents[name] = self.parents.pop(key)
        if name in self.names:
            shutil.rmtree(path)
        else:
            self.names[name] = path

    def remove(self, key: str) -> None:
        shutil.rmtree(self.names.pop(key))

    def upper(self, key: str) -> Path:
        return self.names[key]

    def exists(self, key: str) -> bool:
        return key in self.names


class FakeTrees:
    @contextmanager
    def open(self, mounts: Sequence[MountLike]) -> Iterator[int]:
        fd = os.open(mounts[0].source, os.O_PATH | os.O_DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)


class FakeLayers:
    def __init__(self, snapshots: FakeSnapshots) -> None:
        self.snapshots = snapshots

    async def diff(self, key: str) -> DiffResult:
        mine = tree_digest(self.snapshots.names[key])
        parent = self.snapshots.parents[key]
        below = tree_digest(self.snapshots.names[parent]) if parent else tree_digest(None)
        digest = "sha256:" + hashlib.sha256(f"{below} {mine}".encode()).hexdigest()
        return DiffResult(digest, 0, mine == below)


def tree_digest(path: Path | None) -> str:
    if path is None:
        return digest_of(iter(()), owners=True)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return digest_of(walk(fd), owners=True)
    finally:
        os.close(fd)


class FakeExecutor:
    """Knows ``echo``, ``echo > file``, ``cat``, ``false``, ``exit n``, ``env``, joined by ``&&``."""

    def __init__(self, snapshots: FakeSnapshots) -> None:
        self.snapshots = snapshots
        self.requests: list[RunRequest] = []

    async def run(self, request: RunRequest, output: Callable[[bytes], None]) -> int:
        self.requests.append(request)
        root = self.snapshots.names[request.key]
        for command in request.args[-1].strip().split(" && "):
            status = self._one(command, root, request, output)
            if status:
                return status
        return 0

    def _one(self, command: str, root: Path, request: RunRequest, output: Callable[[bytes], None]) -> int:
        words = command.split()
        if words[0] == "false":
            return 1
        if words[0] == "exit":
            return int(words[1])
        if words[0] == "env":
            output("\n".join(request.env).encode() + b"\n")
        elif words[0] == "cat":
            output((root / words[1].lstrip("/")).read_bytes())
        elif words[0] == "echo" and ">" in words:
            (root / words[-1].lstrip("/")).write_text(" ".join(words[1:-2]) + "\n")
        elif words[0] == "echo":
            output((" ".join(words[1:]) + "\n").encode())
        elif words[0] != "true":
            return 127
        return 0


class FakeCache:
    def __init__(self) -> None:
        self.records: dict[str, Mapping[str, Any]] = {}

    def lookup(self, key: str) -> Mapping[str, Any] | None:
        return self.records.get(key)

    def store(self, key: str, record: Mapping[str, Any]) -> None:
        self.records[key] = json.loads(json.dumps(record))


class FakeSink:
    def __init__(self) -> None:
        self.images: dict[str, bytes] = {}
        self.parents: dict[str, str | None] = {}

    def save(self, config: bytes, parent: str | None) -> str:
        image_id = "sha256:" + hashlib.sha256(config).hexdigest()
        self.images[image_id] = config
        self.parents[image_id] = parent
        return image_id

    def exists(self, image_id: str) -> bool:
        return image_id in self.images


class FakeImages:
    def __init__(self) -> None:
        self.images: dict[str, BaseImage] = {}
        self.asked: list[tuple[str, str | None]] = []

    async def resolve(self, name: str, platform: str | None, *, pull: bool, progress: Progress) -> BaseImage:
        self.asked.append((name, platform))
        if name not in self.images:
            raise NotFound(f"pull access denied for {name}, repository does not exist or may require 'docker login'")
        return self.images[name]


@dataclass
class Recorder:
    """A Progress that remembers."""

    text: str = ""
    auxes: list[Mapping[str, Any]] = field(default_factory=list)

    def stream(self, text: str) -> None:
        self.text += text

    def log(self, text: str) -> None:
        self.text += text

    def status(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        pass

    def aux(self, value: Mapping[str, Any]) -> None:
        self.auxes.append(value)


class Kitchen:
    """A Builder on fakes, with a busybox to start from."""

    def __init__(self, directory: Path) -> None:
        for name in ("scratch", "cachemounts", "private"):
            (directory / name).mkdir()
        self.snapshots = FakeSnapshots(directory / "snapshots")
        self.executor = FakeExecutor(self.snapshots)
        self.cache, self.sink, self.images = FakeCache(), FakeSink(), FakeImages()
        self.scratch, self.private = directory / "scratch", directory / "private"
        ports = Ports(
            self.images,
            self.snapshots,
            FakeTrees(),
            self.executor,
            FakeLayers(self.snapshots),
            self.cache,
            self.sink,
            self.scratch,
            directory / "cachemounts",
            self.private,
        )
        self.builder = Builder(ports, Platforms())
        self.add_image("busybox", {"etc/passwd": "root:x:0:0::/:\nwww:x:33:34::/:\n", "bin/sh": ""})

    def add_image(self, name: str, files: Mapping[str, str], **config: Any) -> BaseImage:
        key = f"image-{name}"
        self.snapshots.prepare(key, None)
        for path, text in files.items():
            target = self.snapshots.upper(key) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        diff = "sha256:" + hashlib.sha256(name.encode()).hexdigest()
        self.snapshots.commit(key, diff)
        document = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"], **config},
            "rootfs": {"type": "layers", "diff_ids": [diff]},
            "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "base"}],
        }
        image_id = self.sink.save(json.dumps(document).encode(), None)
        self.images.images[name] = BaseImage(image_id, document, diff, (diff,))
        return self.images.images[name]
