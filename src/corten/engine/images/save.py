"""Saving: images become an archive that Docker and OCI tools read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from corten.engine.images.ground import ImageGround
from corten.errors import NotImplementedYet
from corten.spec.platform import Platform
from corten.store.images import ImageRecord

Send = Callable[[bytes], Awaitable[None]]


class Saver:
    """Puts images into archives."""

    def __init__(self, ground: ImageGround) -> None:
        self._ground = ground

    async def save(
        self, names: Sequence[str], find: Callable[[str], ImageRecord], send: Send, *, platform: Platform | None
    ) -> None:
        """Put the named images into one archive."""
        raise NotImplementedYet("save")
