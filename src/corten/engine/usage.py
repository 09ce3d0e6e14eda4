"""How much of the disk everything takes: ``docker system df``.

Owns: what is asked of which service, and the shape of the answer.  The numbers are the services' own.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

from corten.engine.builds.service import BuildService
from corten.engine.images.service import ImageService
from corten.engine.volumes.service import VolumeService
from corten.errors import Invalid

KINDS = frozenset({"container", "image", "volume", "build-cache"})


class Containers(Protocol):
    """Who lists containers with their sizes."""

    async def usage(self) -> list[dict[str, Any]]: ...


class Usage:
    """The accountant of ``/system/df``."""

    def __init__(
        self, images: ImageService, containers: Containers, volumes: VolumeService, builds: BuildService
    ) -> None:
        self._images = images
        self._containers = containers
        self._volumes = volumes
        self._builds = builds

    async def report(self, kinds: Collection[str] = ()) -> dict[str, Any]:
        """What each kind takes; kinds that were not asked for are null."""
        for kind in kinds:
            if kind not in KINDS:
                raise Invalid(f"unknown object type: {kind}")
        wanted = kinds or KINDS
        return {
            "LayersSize": self._images.layers_size() if "image" in wanted else 0,
            "Images": self._images.usage() if "image" in wanted else None,
            "Containers": await self._containers.usage() if "container" in wanted else None,
            "Volumes": await self._volumes.usage() if "volume" in wanted else None,
            "BuildCache": self._builds.usage() if "build-cache" in wanted else None,
        }
