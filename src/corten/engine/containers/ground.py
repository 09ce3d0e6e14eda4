"""What containers stand on: the mechanisms, the daemon's settings, the roster.  One value handed to every operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from corten.engine.background import Background
from corten.engine.containers.live import Live, Roster
from corten.engine.containers.options import Defaults
from corten.engine.events import Events
from corten.network.service import Networking
from corten.spec.platform import Platform
from corten.store.images import ImageRecord
from corten.store.layout import Layout
from corten.store.snapshots.base import Snapshots
from corten.store.workers import Workers
from corten.supervisor.service import Supervisor
from corten.volumes.service import Volumes


class ImageFinder(Protocol):
    """What containers need of images (``store.images.Images`` is one)."""

    def find(self, name: str) -> ImageRecord:
        """By reference, id or the beginning of an id; raises NotFound."""
        ...

    def find_for(self, name: str, platform: Platform) -> ImageRecord | None:
        """As ``find``, the image for a platform; None where there is none for it."""
        ...


@dataclass(frozen=True, slots=True)
class Settings:
    """What the daemon's configuration says about containers."""

    defaults: Defaults = field(default_factory=Defaults)
    cgroup_parent: str = "/corten"
    exec_root: Path = Path("/run/corten")
    default_host_ip: str = ""
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    host_gateway_ip: str = ""
    seccomp_profile: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """The mechanisms below and the roster above them."""

    layout: Layout
    snapshots: Snapshots
    workers: Workers
    images: ImageFinder
    supervisor: Supervisor
    networking: Networking
    volumes: Volumes
    events: Events
    background: Background
    roster: Roster
    settings: Settings

    def bundle(self, container_id: str) -> Path:
        """The directory of a container's files."""
        return self.layout.containers / container_id

    def publish(self, live: Live, action: str, **attributes: str) -> None:
        """Tell what happened to a container: its labels, image and name go with it."""
        record = live.record
        told = {**record.labels, "image": record.image_name, "name": record.name, **attributes}
        self.events.publish("container", action, record.id, told)
