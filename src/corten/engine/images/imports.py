"""Images made of one file system: import of a tar, commit of a container.

Owns: the image config that comes of it.  For ``--change`` read changes.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corten import __version__
from corten.api.times import rfc3339_nano
from corten.build.upper import CONTAINER_LINKS, remove_stubs
from corten.engine.downloads import download
from corten.engine.images import changes as instructions
from corten.engine.images import names
from corten.engine.images.ground import ImageGround, Progress
from corten.errors import Invalid
from corten.spec.digest import Digest
from corten.spec.image import ImageConfig, chain_step
from corten.spec.platform import Platform, host
from corten.spec.reference import Reference
from corten.store.images import ImageRecord

BODY = "-"


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """An import as it was understood; made before anything is read, so that nonsense is refused at once."""

    source: str
    reference: Reference | None
    message: str
    config: Mapping[str, Any]
    platform: Platform

    @classmethod
    def parse(
        cls, source: str, repository: str, tag: str, message: str, changes: Sequence[str], platform: Platform | None
    ) -> ImportRequest:
        """Raises Invalid."""
        wanted = platform or host()
        if wanted.os != "linux":
            raise Invalid(f'operating system is not supported: "{wanted.os}"')
        if not source:
            raise Invalid("an import needs a source: a URL, or - for the request's body")
        config = instructions.apply({}, changes)
        return cls(source, names.optional(repository, tag), message, config, wanted)


@dataclass(frozen=True, slots=True)
class CommitRequest:
    """A container's changes to be made an image."""

    snapshot_key: str
    base: ImageRecord | None
    config: Mapping[str, Any]
    container_id: str
    container_config: Mapping[str, Any] = field(default_factory=dict)
    reference: Reference | None = None
    author: str = ""
    comment: str = ""


class Importer:
    """Makes images of file systems."""

    def __init__(self, ground: ImageGround) -> None:
        self._ground = ground

    async def import_image(self, wanted: ImportRequest, body: AsyncIterator[bytes], progress: Progress) -> Digest:
        """Unpack a tar and make it an image."""
        with self._ground.scratch() as scratch:
            archive = scratch / "import.tar"
            if wanted.source == BODY:
                await spool(body, archive)
            else:
                await self._fetch(wanted.source, archive, progress)
            if not archive.stat().st_size:
                raise Invalid("invalid archive: it is empty")
            diff_id, _ = await self._ground.unpacker.unpack_layer(archive, None, None)
        now = _now()
        config = ImageConfig.new(
            {
                "architecture": wanted.platform.architecture,
                **({"variant": wanted.platform.variant} if wanted.platform.variant else {}),
                "os": wanted.platform.os,
                "created": now,
                "comment": wanted.message,
                "docker_version": __version__,
                "config": dict(wanted.config),
                "history": [{"created": now, "comment": wanted.message}],
                "rootfs": {"type": "layers", "diff_ids": [str(diff_id)]},
            }
        )
        image = self._ground.images.add(config.to_bytes())
        if wanted.reference is not None:
            self._ground.give_name(image, wanted.reference)
        self._ground.publish("import", image)
        return image

    async def commit(self, wanted: CommitRequest) -> Digest:
        """Make an image of what a container's snapshot changed on its base."""
        base = wanted.base.config if wanted.base is not None else None
        parent = base.chain_id if base is not None else None
        diff_ids = list(base.diff_ids) if base is not None else []
        layer = await self._layer(wanted.snapshot_key, parent)
        now = _now()
        command = " ".join(str(word) for word in wanted.container_config.get("Cmd") or ())
        entry: dict[str, Any] = {"created": now, "created_by": command}
        entry |= {name: value for name, value in (("author", wanted.author), ("comment", wanted.comment)) if value}
        if layer is None:
            entry["empty_layer"] = True
        else:
            diff_ids.append(layer)
        platform = base.platform if base is not None else host()
        body: dict[str, Any] = {
            **platform.to_json(),
            "created": now,
            "docker_version": __version__,
            "container": wanted.container_id,
            "container_config": dict(wanted.container_config),
            "config": {name: value for name, value in wanted.config.items() if value not in (None, "", [], {})},
            "history": [*(base.history if base is not None else []), entry],
            "rootfs": {"type": "layers", "diff_ids": [str(item) for item in diff_ids]},
        }
        body |= {name: value for name, value in (("author", wanted.author), ("comment", wanted.comment)) if value}
        config = ImageConfig.new(body)
        image = self._ground.images.add(config.to_bytes(), parent=wanted.base.id if wanted.base else None)
        if wanted.reference is not None:
            self._ground.give_name(image, wanted.reference)
        return image

    async def _layer(self, key: str, parent: Digest | None) -> Digest | None:
        """A copy of the snapshot's changes as a layer on ``parent``; None if it changed nothing."""
        ground = self._ground
        staged = await asyncio.to_thread(ground.snapshots.stage, str(parent) if parent else None)
        try:
            await ground.workers.copy(ground.snapshots.upper(key), staged.path)
            remove_stubs(staged.path, lambda: ground.snapshots.mounts(key), links=CONTAINER_LINKS)
            packed = await ground.workers.pack(staged.path)
        except BaseException:
            ground.snapshots.unstage(staged)
            raise
        if packed.empty:
            ground.snapshots.unstage(staged)
            return None
        chain = chain_step(parent, packed.diff_id)
        ground.snapshots.land(staged, str(chain), str(parent) if parent else None)
        return packed.diff_id

    async def _fetch(self, source: str, archive: Path, progress: Progress) -> None:
        url = source if "://" in source else f"http://{source}"
        progress.message(f"Downloading from {url}")

        def told(current: int, total: int) -> None:
            progress.update("", "Importing", current, total)

        await download(url, archive, told)


async def spool(body: AsyncIterator[bytes], path: Path) -> None:
    """Keep a request's body in a file."""
    with path.open("wb") as file:
        async for chunk in body:
            file.write(chunk)


def _now() -> str:
    return rfc3339_nano(time.time_ns())
