"""Giving a built image to where the client wants it: the image store, or a directory or file at the client's."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack

from corten.buildkit.board import Board, Shown
from corten.buildkit.filesync import send
from corten.buildkit.messages.control import Exporter
from corten.buildkit.sessions import Session, Sessions
from corten.buildkit.workshop import Built
from corten.engine.images import files as imagefiles
from corten.engine.images.ground import ImageGround
from corten.errors import Invalid, NotImplementedYet
from corten.kernel.paths import Root
from corten.spec.digest import Digest
from corten.spec.reference import Reference

STORE = frozenset({"moby", "image"})


class Exports:
    """See the module."""

    def __init__(self, ground: ImageGround) -> None:
        self._ground = ground

    async def export(
        self, built: Built, exporters: Sequence[Exporter], session: str, board: Board, sessions: Sessions
    ) -> dict[str, str]:
        """All of them, in order; what is told of the image."""
        told: dict[str, str] = {}
        for number, exporter in enumerate(exporters):
            if exporter.type in STORE:
                told |= self._name(built, exporter, board)
            elif exporter.type == "local":
                with board.step("exporting to client directory") as step:
                    await self._directory(built, number, await sessions.get(session), step)
            elif exporter.type == "tar":
                with board.step("exporting to client tarball") as step:
                    pieces = imagefiles.tar(self._ground, self._ground.images.get(Digest.parse(built.image_id)))
                    await send.send_file(await sessions.get(session), number, {}, pieces)
                    step.note("sending tarball")
            else:
                raise NotImplementedYet(f"the exporter {exporter.type!r} is not supported by this engine")
        return told

    def _name(self, built: Built, exporter: Exporter, board: Board) -> dict[str, str]:
        image = Digest.parse(built.image_id)
        names = [_reference(name) for name in exporter.attrs.get("name", "").split(",") if name]
        with board.step("exporting to image") as step:
            step.note("exporting layers")
            step.note(f"writing image {image}")
            for reference in names:
                self._ground.give_name(image, reference)
                step.note(f"naming to {reference}")
        return _told(built, names)

    async def _directory(self, built: Built, number: int, session: Session, step: Shown) -> None:
        stack = ExitStack()
        root = await asyncio.to_thread(stack.enter_context, self.root(built.image_id))
        try:
            await send.send_tree(session, number, root)
        finally:
            await asyncio.to_thread(stack.close)
        step.note("copying files")

    def root(self, image_id: str) -> AbstractContextManager[Root]:
        """An image's files, seen by nobody else.  For a thread: it mounts and unmounts."""
        return imagefiles.root(self._ground, self._ground.images.get(Digest.parse(image_id)))


def _reference(name: str) -> Reference:
    reference = Reference.parse(name)
    if reference.digest is not None:
        raise Invalid("build tag cannot contain a digest")
    return reference


def _told(built: Built, names: Sequence[Reference]) -> dict[str, str]:
    """The metadata of the image exporter; without a manifest the image is known by its configuration."""
    config = built.metadata.get("containerimage.config", b"")
    descriptor = {
        "mediaType": "application/vnd.docker.container.image.v1+json",
        "digest": built.image_id,
        "size": len(config),
    }
    found: Mapping[str, str] = {
        "containerimage.digest": built.image_id,
        "containerimage.config.digest": built.image_id,
        "containerimage.descriptor": base64.b64encode(json.dumps(descriptor).encode()).decode(),
        "image.name": ",".join(str(name) for name in names),
    }
    return {name: value for name, value in found.items() if value}
