"""Commit: what a container has changed becomes an image.

Owns: the configuration of that image and holding the container still meanwhile.  It stands between containers and
images, which know nothing of one another.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from corten.engine.containers.ground import Ground
from corten.engine.containers.model import Container
from corten.engine.containers.options import read_config
from corten.engine.containers.service import ContainerService
from corten.engine.containers.status import Status
from corten.engine.images import changes as instructions
from corten.engine.images import names
from corten.engine.images.imports import CommitRequest
from corten.engine.images.service import ImageService
from corten.engine.images.view import CONFIG_FIELDS
from corten.errors import CortenError
from corten.spec.reference import Reference
from corten.store.images import ImageRecord


@dataclass(frozen=True, slots=True)
class Wish:
    """The parameters of POST /commit."""

    container: str
    config: Mapping[str, Any]
    repository: str = ""
    tag: str = ""
    comment: str = ""
    author: str = ""
    changes: Sequence[str] = ()
    pause: bool = True


class Commits:
    """Makes images of containers."""

    def __init__(self, ground: Ground, containers: ContainerService, images: ImageService) -> None:
        self._ground = ground
        self._containers = containers
        self._images = images

    async def commit(self, wish: Wish) -> str:
        """The id of the new image."""
        record = self._containers.get(wish.container)
        reference = names.optional(wish.repository, wish.tag)
        changed = instructions.apply(wish.config, wish.changes)
        config = read_config(changed, record.config)
        request = CommitRequest(
            snapshot_key=record.id,
            base=self._base(record),
            config={name: config[name] for name in CONFIG_FIELDS if config.get(name) not in (None, "", [], {})},
            container_id=record.id,
            container_config=_shown(record),
            reference=reference,
            author=wish.author,
            comment=wish.comment,
        )
        async with self._still(record, pause=wish.pause):
            image = await self._images.commit(request)
        self._tell(record, image, reference, wish.comment)
        return image

    def _base(self, record: Container) -> ImageRecord | None:
        with contextlib.suppress(CortenError):
            return self._images.find(record.image_id)
        return None

    @asynccontextmanager
    async def _still(self, record: Container, *, pause: bool) -> AsyncIterator[None]:
        """docker: a running container is paused, unless told not to."""
        if not pause or record.state.status is not Status.RUNNING:
            yield
            return
        await self._containers.pause(record.id)
        try:
            yield
        finally:
            with contextlib.suppress(CortenError):
                await self._containers.unpause(record.id)

    def _tell(self, record: Container, image: str, reference: Reference | None, comment: str) -> None:
        told = {"comment": comment, "imageID": image, "imageRef": reference.familiar() if reference else ""}
        self._ground.publish(self._containers.find(record.id), "commit", **told)


def _shown(record: Container) -> dict[str, Any]:
    """The container's own configuration, as the image keeps it for people."""
    return {name: value for name, value in record.config.items() if value not in (None, "", [], {}, False)}
