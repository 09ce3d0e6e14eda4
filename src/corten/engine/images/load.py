"""Loading: the images of an archive, Docker's or an OCI layout, become images here."""

from __future__ import annotations

from collections.abc import AsyncIterator

from corten.engine.images.ground import ImageGround, Progress
from corten.errors import NotImplementedYet
from corten.spec.platform import Platform


class Loader:
    """Takes images out of archives."""

    def __init__(self, ground: ImageGround) -> None:
        self._ground = ground

    async def load(
        self, body: AsyncIterator[bytes], progress: Progress, *, quiet: bool, platform: Platform | None
    ) -> list[str]:
        """Take every image out; a sentence about each."""
        raise NotImplementedYet("load")
