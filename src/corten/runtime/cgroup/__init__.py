"""Control groups of a container: limits, freezing, killing, counting.  Both versions behind one class shape.

``group()`` decides which version this machine has; ``limits.py`` and ``devices.py`` lower OCI resources to file
writes (pure); ``v1.py`` and ``v2.py`` do them; ``stats.py`` reads numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from corten.kernel import mounts
from corten.runtime.cgroup.v1 import GroupV1
from corten.runtime.cgroup.v2 import GroupV2


class Group(Protocol):
    """One container's groups.  Nothing touches the disk before ``create``."""

    version: int
    path: str

    def create(self, resources: Mapping[str, Any]) -> None:
        """Make the groups and set the limits; may be repeated."""

    def join_fds(self) -> list[int]:
        """Owned descriptors, opened before a fork; the child enters by writing "0" to each."""

    def clone_fd(self) -> int | None:
        """An owned descriptor for CLONE_INTO_CGROUP, where that is the way to join."""

    def update(self, resources: Mapping[str, Any]) -> None:
        """Change limits of a running container."""

    def freeze(self) -> None:
        """Stop every process until ``thaw``."""

    def thaw(self) -> None:
        """Let them run again."""

    def pids(self) -> list[int]:
        """Every process within, children groups included."""

    def kill(self) -> None:
        """Kill every process within."""

    def oom_kills(self) -> int:
        """How many processes the kernel has killed for want of memory."""

    def oom_watch(self) -> int | None:
        """An owned descriptor that becomes readable when memory ran out; None where there is nothing to watch."""

    def stats(self) -> dict[str, Any]:
        """See supervisor/model.py: Stats."""

    def remove(self) -> bool:
        """Remove the groups; false if something still lives in them."""

    def mounts(self) -> list[tuple[str, str]]:
        """(directory, name) of each hierarchy for /sys/fs/cgroup inside; the name "" is all of it (v2)."""


class Hierarchies:
    """What is mounted on this machine, looked up once (by the zygote, for all its shims)."""

    def __init__(self, v1: Mapping[str, str], unified: str | None) -> None:
        self.v1 = v1
        self.unified = unified

    @classmethod
    def discover(cls) -> Hierarchies:
        """v1 wherever any v1 controller is mounted, even beside a (then empty) v2 hierarchy."""
        v1: dict[str, str] = {}
        unified = None
        for each in mounts.mountinfo():
            if each.fstype == "cgroup2":
                unified = unified or each.target
            elif each.fstype == "cgroup" and each.target not in v1.values():
                known = {"rw", "ro", "none", "xattr", "clone_children", "noprefix"}
                words = [w for w in each.super_options if w not in known and not w.startswith("release_agent")]
                v1[",".join(words)] = each.target
        return cls(v1, unified)

    @property
    def version(self) -> int:
        """1 or 2."""
        return 1 if any(not name.startswith("name=") for name in self.v1) or not self.unified else 2

    def group(self, path: str) -> Group:
        """The groups of a container at ``path`` ("/corten/ID") beneath each hierarchy."""
        if self.unified and self.version == 2:
            return GroupV2(self.unified, path)
        return GroupV1(self.v1, path)

    def strays(self, path: str) -> list[Group]:
        """Groups at ``path`` that may be there besides ours: runc enters a v2 hierarchy that is mounted beside v1."""
        return [GroupV2(self.unified, path)] if self.unified and self.version == 1 else []
