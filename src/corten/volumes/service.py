"""The operations on volumes.

Owns: records, references by containers, safe removal.  Knows nothing of Docker's JSON.  Read next: ``local.py``, which
mounts and measures.

    data_root/volumes/
        <name>/_data      the contents; the mount point where the volume has options
        .trash/<random>   removed volumes, deleted in the background and again at start

A record is written before its directory is made and deleted after the directory was renamed away, so that a crash
leaves a record without data (made again on use) or rubbish in the trash, never contents without a record.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from corten.errors import NotImplementedYet
from corten.volumes.base import FactsPort
from corten.volumes.model import Usage, Volume


class Volumes:
    """All volumes of one daemon."""

    def __init__(self, facts: FactsPort, root: Path) -> None:
        raise NotImplementedYet("volumes")

    async def open(self) -> None:
        """Take up the facts; adopt directories without a record; empty the trash in the background."""
        raise NotImplementedYet("volumes")

    async def close(self) -> None:
        raise NotImplementedYet("volumes")

    async def create(
        self,
        name: str | None = None,
        driver: str = "local",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[Volume, bool]:
        """Return the volume and whether it is new.  Without a name: an anonymous one."""
        raise NotImplementedYet("volumes")

    def get(self, name: str) -> Volume:
        raise NotImplementedYet("volumes")

    def all(self) -> list[Volume]:
        raise NotImplementedYet("volumes")

    async def acquire(self, name: str, container_id: str) -> Volume:
        """A container refers to the volume from now on (from its create to its removal)."""
        raise NotImplementedYet("volumes")

    async def release(self, name: str, container_id: str) -> None:
        raise NotImplementedYet("volumes")

    def references(self, name: str) -> frozenset[str]:
        raise NotImplementedYet("volumes")

    async def mount(self, name: str, container_id: str) -> Path:
        """Return the directory to bind into a container that starts; mounts it if it has options."""
        raise NotImplementedYet("volumes")

    async def unmount(self, name: str, container_id: str) -> None:
        """The container stopped; the last one unmounts."""
        raise NotImplementedYet("volumes")

    async def remove(self, name: str, *, force: bool = False) -> bool:
        """Raises Conflict while referred to, NotFound unless ``force``."""
        raise NotImplementedYet("volumes")

    async def usage(self, name: str) -> Usage:
        raise NotImplementedYet("volumes")

    async def reconcile(self, containers: Mapping[str, bool]) -> None:
        """After a restart: containers that exist (and whether they run); references of all others are dropped."""
        raise NotImplementedYet("volumes")
