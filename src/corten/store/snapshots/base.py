"""The interface of snapshot drivers, and its values.

An *active* snapshot is writable and has a key that the caller chose (a container's id, a build step).  A *committed*
one never changes again and has a name: the chain ID of its layers.  Either may have a committed parent.

    prepare("step-1", None)            an empty writable snapshot
    mounts("step-1")                   how to mount it: the caller mounts, writes, unmounts
    commit("step-1", "sha256:aa…")     now it is a parent
    prepare("step-2", "sha256:aa…")    writable on top of it
    remove("step-2")                   thrown away; a parent of anything cannot be removed

Every change is one database transaction; directories without a record are leftovers of a killed process and are removed
by sweep().  Knows nothing of layers' tars: read layers/apply.py and unpack.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol


class Kind(Enum):
    """What may be done with a snapshot."""

    ACTIVE = "active"
    COMMITTED = "committed"


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount of a root file system, as mount(8) would be told."""

    type: str
    source: str
    options: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a bundle's rootfs.json holds it."""
        return {"type": self.type, "source": self.source, "options": list(self.options)}


@dataclass(frozen=True, slots=True)
class Info:
    """What is recorded of a snapshot."""

    key: str
    kind: Kind
    parent: str | None
    created: float
    volatile: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """What a snapshot adds to its parent: bytes of files, and inodes."""

    size: int
    inodes: int


@dataclass(frozen=True, slots=True)
class Staged:
    """A layer's directory that is being filled and is not a snapshot yet."""

    id: int
    path: Path
    lowers: tuple[Path, ...]


class Snapshots(Protocol):
    """A driver."""

    @property
    def name(self) -> str:
        """``overlay``, ``copy`` …"""

    @property
    def layered(self) -> bool:
        """Is a layer's directory filled without its parent (whiteouts kept as such)?"""

    @property
    def keeps_tars(self) -> bool:
        """May a staged layer be a tar and its index (layers/index.py) beside the directory, which stays empty?"""

    def prepare(self, key: str, parent: str | None, *, volatile: bool = False) -> None:
        """Make an active snapshot on ``parent``.  Conflict if ``key`` is taken, NotFound if ``parent`` is none.

        ``volatile`` gives up surviving a power cut: for throw-away containers.
        """

    def mounts(self, key: str) -> list[Mount]:
        """How to mount it: writable if active, else read-only.  Options name full paths."""

    def commit(self, key: str, name: str, usage: Usage | None = None) -> None:
        """Make the active ``key`` the committed ``name``; if that exists already, drop ``key``."""

    def remove(self, key: str) -> None:
        """Forget it; its bytes go later.  Conflict while it has children."""

    def stat(self, key: str) -> Info:
        """NotFound if there is none."""

    def exists(self, key: str) -> bool:
        """Is there one?"""

    def usage(self, key: str) -> Usage:
        """Of itself alone; kept once counted for committed ones."""

    def note_usage(self, key: str, usage: Usage) -> None:
        """Whoever has counted an active snapshot spares counting it when it is committed."""

    def upper(self, key: str) -> Path:
        """The directory of its own changes, in overlay's form (whiteouts are 0/0 devices)."""

    def writable(self, key: str) -> Path:
        """The directory behind what is written to an active snapshot that is not mounted now."""

    def lowers(self, key: str) -> list[Path]:
        """The directories of its ancestors' changes, nearest first; one whole tree for drivers that have no layers."""

    def tar(self, key: str) -> Path | None:
        """The exact tar of a committed layer, where that is what the driver keeps."""

    def walk(self) -> Iterator[Info]:
        """Every snapshot, parents before children."""

    def stage(self, parent: str | None) -> Staged:
        """A directory to unpack a layer into: empty, or a copy of ``parent`` for drivers that have no layers."""

    def land(self, staged: Staged, name: str, parent: str | None, usage: Usage | None = None) -> None:
        """Make a staged directory the committed ``name``; if that exists already, drop the directory."""

    def unstage(self, staged: Staged) -> None:
        """Drop a staged directory."""

    def close(self) -> None:
        """Let go of what this process holds."""

    def sweep(self) -> int:
        """At start: remove directories that no record names; how many there were."""
