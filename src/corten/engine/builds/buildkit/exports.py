"""Giving a built image to where the client wants it: the image store, or a directory or file at the client's."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from corten.buildkit.board import Board, Shown
from corten.buildkit.filesync import send
from corten.buildkit.messages.control import Exporter
from corten.buildkit.sessions import Session, Sessions
from corten.buildkit.workshop import Built
from corten.engine.builds.buildkit.login import keys
from corten.engine.builds.travel import stream
from corten.engine.images import files as imagefiles
from corten.engine.images.ground import ImageGround
from corten.engine.images.push import Pusher
from corten.errors import Invalid, NotImplementedYet
from corten.kernel.paths import Root
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.reference import Reference
from corten.store.archives import save as archives

ARCHIVES = frozenset({"oci", "docker"})
STORE = frozenset({"moby", "image"})


class Exports:
    """See the module."""

    def __init__(self, ground: ImageGround) -> None:
        self._ground = ground
        self._pusher = Pusher(ground)

    async def export(
        self, built: Built, exporters: Sequence[Exporter], session: str, board: Board, sessions: Sessions
    ) -> dict[str, str]:
        """All of them, in order; what is told of the image."""
        told: dict[str, str] = {}
        index = await self._index(built, exporters, board)
        for number, exporter in enumerate(exporters):
            if exporter.type in STORE:
                told |= self._name(built, index, exporter, board)
                if exporter.attrs.get("push", "") in ("true", "1"):
                    told |= await self._push(_references(exporter), await sessions.get(session), board)
            elif built.variants and exporter.type in ("local", "tar"):
                raise NotImplementedYet(f"the exporter {exporter.type!r} takes one platform at a time in this engine")
            elif exporter.type == "local":
                with board.step("exporting to client directory") as step:
                    await self._directory(built, number, await sessions.get(session), step)
            elif exporter.type == "tar":
                with board.step("exporting to client tarball") as step:
                    pieces = imagefiles.tar(self._ground, self._ground.images.get(Digest.parse(built.image_id)))
                    await send.send_file(await sessions.get(session), number, {}, pieces)
                    step.note("sending tarball")
            elif exporter.type in ARCHIVES:
                with board.step(f"exporting to {exporter.type} image format") as step:
                    await self._archive(built, index, exporter, number, await sessions.get(session))
                    step.note("sending tarball")
            else:
                raise NotImplementedYet(f"the exporter {exporter.type!r} is not supported by this engine")
        return told

    async def _index(self, built: Built, exporters: Sequence[Exporter], board: Board) -> Digest | None:
        """The index of an image for several platforms, where it is wanted."""
        if not built.variants or not any(exporter.type in STORE | ARCHIVES for exporter in exporters):
            return None
        with board.step("exporting manifest list"):
            return await self._pusher.index_of([Digest.parse(each.image_id) for _, each in built.variants])

    async def _archive(
        self, built: Built, index: Digest | None, exporter: Exporter, number: int, session: Session
    ) -> None:
        """One form serves both: an OCI layout that docker loads too."""
        if exporter.attrs.get("tar", "true") not in ("", "true", "1"):
            raise NotImplementedYet(f"the exporter {exporter.type!r} writes archives only: tar=false is not supported")
        ground = self._ground
        saver = archives.Saver(ground.layout, ground.content, ground.images, ground.snapshots, ground.workers)
        record = ground.images.get(_image(built))
        with ground.scratch() as scratch:
            await saver.save([archives.Saved(record, _references(exporter), index)], scratch / "image.tar")
            await send.send_file(session, number, {}, stream(scratch / "image.tar"))

    async def _push(self, names: Sequence[Reference], session: Session, board: Board) -> dict[str, str]:
        """Every name; the digest that a registry has."""
        told: dict[str, str] = {}

        def tell(result: Mapping[str, Any]) -> None:
            if digest := result.get("Digest"):
                told["containerimage.digest"] = str(digest)

        for name in names:
            with board.step(f"pushing {name.familiar()}") as step:
                await self._pusher.push(name, None, await keys(session)(name.registry), _Bars(step), tell)
        return told

    def _name(self, built: Built, index: Digest | None, exporter: Exporter, board: Board) -> dict[str, str]:
        image = _image(built)
        names = _references(exporter)
        with board.step("exporting to image") as step:
            step.note("exporting layers")
            step.note(f"writing image {index or image}")
            for reference in names:
                self._ground.give_name(image, reference, target=index)
                step.note(f"naming to {reference}")
        described = self._ground.images.indexes.descriptor(index) if index is not None else None
        return _told(built, described, names)

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


class _Bars:
    """A push's progress below a step."""

    def __init__(self, step: Shown) -> None:
        self._step = step

    def update(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        """See Progress."""
        self._step.status(id, status, current, total)

    def message(self, status: str, id: str | None = None) -> None:
        """See Progress."""
        self._step.log(f"{status}\n")


def _references(exporter: Exporter) -> list[Reference]:
    return [_reference(name) for name in exporter.attrs.get("name", "").split(",") if name]


def _reference(name: str) -> Reference:
    reference = Reference.parse(name)
    if reference.digest is not None:
        raise Invalid("build tag cannot contain a digest")
    return reference


def _image(built: Built) -> Digest:
    """The image, or the first of several platforms: a name of the index is bound to the one that suits this host."""
    return Digest.parse(built.image_id or built.variants[0][1].image_id)


def _told(built: Built, index: Descriptor | None, names: Sequence[Reference]) -> dict[str, str]:
    """The metadata of the image exporter; without a manifest the image is known by its configuration."""
    if index is not None:
        return {
            "containerimage.digest": str(index.digest),
            "containerimage.descriptor": base64.b64encode(json.dumps(index.to_json()).encode()).decode(),
            **({"image.name": ",".join(str(name) for name in names)} if names else {}),
        }
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
