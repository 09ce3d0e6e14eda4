"""What the builder needs of the world, as Protocols, and the values that cross.

engine/builds supplies each of them; tests/fakes/build.py has small ones that need no root.  Owns no behaviour.
Calls that may take long are coroutines; the others must be quick enough for the event loop (a stat, one SQLite row).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class BaseImage:
    """An image as a starting point: ``config`` is the whole image configuration (Docker's JSON), ``chain`` the name
    of its committed snapshot (None when it has no layers)."""

    id: str
    config: Mapping[str, Any]
    chain: str | None
    diff_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DiffResult:
    """The layer that a snapshot's own changes make; ``empty`` when there are none (then diff_id does not count)."""

    diff_id: str
    size: int
    empty: bool


@dataclass(frozen=True, slots=True)
class StepMount:
    """One more mount for a RUN, over ``target`` in the container; the rest is as in an OCI spec's mounts."""

    target: str
    type: str
    source: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A process to run on an active snapshot.

    ``env`` is complete but for HOSTNAME and HOME, which the executor adds where they lack.  ``user`` is Docker's ("",
    "0", "name", "name:group", looked up inside the root).  ``network`` is "default", "none", "host", "container:<id>"
    or a network's name.  ``resources`` are Docker's names (Memory, CpuShares, ...).
    The executor must leave no files of its own in the snapshot; empty mount points for the standard files
    (/etc/hosts, /proc, ...) and for ``mounts`` are allowed: the builder removes those from the upper directory.
    """

    container_id: str
    key: str
    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str
    hostname: str = ""
    network: str = "default"
    privileged: bool = False
    mounts: tuple[StepMount, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    shm_size: int = 0
    resources: Mapping[str, Any] = field(default_factory=dict)
    ulimits: tuple[Mapping[str, Any], ...] = ()
    security_opt: tuple[str, ...] = ()
    cgroup_parent: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


class MountLike(Protocol):
    """store.snapshots.base.Mount."""

    @property
    def type(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def options(self) -> tuple[str, ...]: ...


class Progress(Protocol):
    """Where a build reports.  ``stream`` is text as the classic builder prints it ({"stream": ...}); ``status`` is a
    line of pull progress ({"id", "status", "progressDetail"}); ``aux`` is {"aux": {...}}; ``log`` is what the process
    of a step says."""

    def stream(self, text: str) -> None: ...
    def log(self, text: str) -> None: ...
    def status(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None: ...
    def aux(self, value: Mapping[str, Any]) -> None: ...


class ImageSource(Protocol):
    """Finds base images and those that COPY --from names; pulls where absent, or always with ``pull``.
    Raises NotFound with Docker's words.  ``platform`` is "os/arch[/variant]" or None for the default."""

    async def resolve(self, name: str, platform: str | None, *, pull: bool, progress: Progress) -> BaseImage: ...


class Snapshots(Protocol):
    """The part of store.Snapshots that the builder uses.  Keys are the builder's own ("build-..."), parents and
    commit names are chain ids."""

    def prepare(self, key: str, parent: str | None, *, volatile: bool = False) -> None: ...
    def mounts(self, key: str) -> Sequence[MountLike]: ...
    def commit(self, key: str, name: str) -> None: ...
    def remove(self, key: str) -> None: ...
    def upper(self, key: str) -> Path: ...
    def exists(self, key: str) -> bool: ...


class Trees(Protocol):
    """Opens the root file system that ``mounts`` make, as a directory descriptor for openat2 RESOLVE_IN_ROOT.
    build/tree.py has the real one (detached mounts)."""

    def open(self, mounts: Sequence[MountLike]) -> AbstractContextManager[int]: ...


class Executor(Protocol):
    """Runs one process to its end and gives its exit status (128+n for a signal).  ``output`` gets raw bytes of
    stdout and stderr as they come.  Raises a CortenError where the process cannot be started.  When the calling
    task is cancelled the process is killed and removed."""

    async def run(self, request: RunRequest, output: Callable[[bytes], None]) -> int: ...


class Layers(Protocol):
    """Gives the layer of an active (or committed) snapshot.  Must be quick where the upper directory is small: look
    before starting a worker."""

    async def diff(self, key: str) -> DiffResult: ...


class Cache(Protocol):
    """Facts of the build cache: small JSON documents by key.  ``lookup`` counts as a use."""

    def lookup(self, key: str) -> Mapping[str, Any] | None: ...
    def store(self, key: str, record: Mapping[str, Any]) -> None: ...


class ImageSink(Protocol):
    """Keeps images.  ``save`` records a config (its layers are committed snapshots already) and gives "sha256:...";
    ``exists`` tells whether an image (and the snapshot of its layers) is still here."""

    def save(self, config: bytes, parent: str | None) -> str: ...
    def exists(self, image_id: str) -> bool: ...


class Secrets(Protocol):
    """What RUN --mount=type=secret|ssh asks for; None when the client offers no such id."""

    async def secret(self, id: str) -> bytes | None: ...
    async def ssh(self, id: str) -> str | None:
        """The path of an agent's socket on this host."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything a Builder is given.  ``scratch`` is for throw-away directories, ``mounts`` keeps cache mounts,
    ``private`` (on a tmpfs where there is one) holds secrets for the length of a step."""

    images: ImageSource
    snapshots: Snapshots
    trees: Trees
    executor: Executor
    layers: Layers
    cache: Cache
    sink: ImageSink
    scratch: Path
    mounts: Path
    private: Path
