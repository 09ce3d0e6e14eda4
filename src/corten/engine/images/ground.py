"""What images stand on: the mechanisms below, and the telling of events.  One value handed to every operation."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from corten.distribution.client import Distribution
from corten.engine.events import Events
from corten.engine.images.holds import Holds
from corten.errors import NotFound
from corten.spec.digest import Digest
from corten.spec.reference import Reference
from corten.store.content import Content
from corten.store.images import Images
from corten.store.layout import Layout
from corten.store.snapshots.base import Snapshots
from corten.store.trash import Trash
from corten.store.unpack import Unpacker
from corten.store.workers import Workers


class Progress(Protocol):
    """Whom progress is told (api/progress.py has one)."""

    def update(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None: ...
    def message(self, status: str, id: str | None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class ImageGround:
    """The mechanisms."""

    layout: Layout
    content: Content
    images: Images
    snapshots: Snapshots
    workers: Workers
    unpacker: Unpacker
    distribution: Distribution
    events: Events
    holds: Holds = field(default_factory=Holds)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory for one operation; what a killed daemon leaves of it is removed at start."""
        path = self.layout.scratch / secrets.token_hex(8)
        path.mkdir(mode=0o700, parents=True)
        try:
            yield path
        finally:
            Trash(self.layout.trash).take(path)

    def publish(self, action: str, image: Digest, actor: str = "", name: str = "") -> None:
        """Tell what happened to an image; its labels go along while it is here."""
        labels: dict[str, str] = {}
        with contextlib.suppress(NotFound):
            found = self.images.get(image).config.config.get("Labels") or {}
            labels = {str(key): str(value) for key, value in found.items()}
        self.events.publish("image", action, actor or str(image), {**labels, "name": name or str(image)})

    def give_name(
        self, image: Digest, reference: Reference, manifest: Digest | None = None, *, target: Digest | None = None
    ) -> None:
        """Name an image, or the index ``target`` that holds it, and tell it."""
        self.images.tag(reference, image, manifest, target=target)
        self.publish("tag", image, name=reference.familiar())
