"""Images -> one archive, in the form of Docker 25 and later: an OCI layout that has manifest.json too.

    blobs/sha256/<digest>   configs, manifests, layers (each once)
    index.json  oci-layout  for OCI tools
    manifest.json           for ``docker load`` of any age
    repositories            for the oldest tools, where there are tags

Layers go out as the blobs that are here, else as plain tars printed from the snapshots.  Owns: the plan, a list of
members with known sizes; write.py prints it in a worker, and the bytes come through a pipe.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from corten.spec import media_types
from corten.spec.canonical import canonical
from corten.spec.descriptor import ANNOTATION_REF_NAME, Descriptor
from corten.spec.digest import Digest
from corten.spec.image import ImageConfig, Index, Manifest, chain_ids
from corten.spec.reference import Reference
from corten.store.archives.read import ANNOTATION_IMAGE_NAME
from corten.store.archives.write import Member, measure
from corten.store.content import Content
from corten.store.images import ImageRecord, Images
from corten.store.layers.printing import Source
from corten.store.layout import Layout
from corten.store.snapshots.base import Snapshots
from corten.store.sources import snapshot_source
from corten.store.workers import Workers

PIPE_SIZE = 1 << 20
F_SETPIPE_SZ = 1031


@dataclass(frozen=True, slots=True)
class Saved:
    """An image to save, and the names that go with it."""

    record: ImageRecord
    references: Sequence[Reference] = ()
    index: Digest | None = None  # what the names name, where that is more than the one image


@dataclass(frozen=True, slots=True)
class Outflow:
    """So many bytes come out of the pipe at ``fd``; fewer if something fails."""

    fd: int
    size: int


class Saver:
    """Makes archives of the images of one data root."""

    def __init__(
        self, layout: Layout, content: Content, images: Images, snapshots: Snapshots, workers: Workers
    ) -> None:
        self._layout = layout
        self._content = content
        self._images = images
        self._snapshots = snapshots
        self._workers = workers

    @asynccontextmanager
    async def opened(self, images: Sequence[Saved]) -> AsyncIterator[Outflow]:
        """The archive, on its way.  What fails, fails when all was read: then it was cut short."""
        plan = await self.plan(images)
        reading, writing = os.pipe2(os.O_CLOEXEC)
        _widen(writing)
        job = asyncio.ensure_future(self._workers.save(plan, Path(f"/proc/{os.getpid()}/fd/{writing}")))
        # The worker opens the pipe for itself; ours is closed when it is done, so that the reader sees the end.
        job.add_done_callback(lambda _: os.close(writing))
        try:
            yield Outflow(reading, measure(plan))
            await job
        finally:
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)
            os.close(reading)

    async def save(self, images: Sequence[Saved], out: Path) -> None:
        """The archive as a file."""
        await self._workers.save(await self.plan(images), out)

    async def plan(self, images: Sequence[Saved]) -> list[Member]:
        """Every member, in order, with its size."""
        blobs: dict[Digest, Member] = {}
        index: list[Descriptor] = []
        legacy: list[dict[str, Any]] = []
        repositories: dict[str, dict[str, str]] = {}
        for saved in images:
            config = saved.record.config
            whole = await self._whole(saved, blobs) if saved.index is not None else None
            layers = whole[1] if whole is not None else await self._layers(config, blobs)
            if whole is not None:
                index += _named(whole[0], saved.references)
            else:
                described_config = _blob(blobs, config.to_bytes(), media_types.OCI_CONFIG)
                manifest = self._kept(saved.record, layers) or Manifest(described_config, tuple(layers)).to_bytes()
                described = _blob(blobs, manifest, Manifest.parse(manifest).media_type)
                index += _named(replace(described, platform=config.platform), saved.references)
            legacy.append(_legacy(saved, layers))
            for reference in saved.references:
                if reference.tag and layers:
                    tags = repositories.setdefault(reference.familiar_name, {})
                    tags[reference.tag] = config.diff_ids[-1].hex
        texts = {
            "index.json": Index(tuple(index)).to_bytes(),
            "manifest.json": canonical(legacy),
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        }
        if repositories:
            texts["repositories"] = canonical(repositories)
        return [
            Member("blobs/"),
            Member("blobs/sha256/"),
            *sorted(blobs.values(), key=lambda member: member.name),
            *(Member(name, len(data), data=data) for name, data in texts.items()),
        ]

    async def _layers(self, config: ImageConfig, blobs: dict[Digest, Member]) -> list[Descriptor]:
        """A descriptor for each layer; their members go into ``blobs``."""
        found: list[Descriptor] = []
        for diff_id, chain in zip(config.diff_ids, chain_ids(config.diff_ids), strict=True):
            blob = self._images.layer_blob(diff_id)
            if blob is not None:
                found.append(Descriptor(_oci_layer(blob.media_type), blob.digest, blob.size))
                blobs[blob.digest] = Member(_name(blob.digest), blob.size, path=self._content.path(blob.digest))
                continue
            if diff_id not in blobs:
                source = self.source(diff_id, chain)
                size = await self._workers.measure(source)
                blobs[diff_id] = Member(_name(diff_id), size, source=source, expected=diff_id)
            found.append(Descriptor(media_types.OCI_LAYER, diff_id, blobs[diff_id].size))
        return found

    async def _whole(self, saved: Saved, blobs: dict[Digest, Member]) -> tuple[Descriptor, Sequence[Descriptor]] | None:
        """The index with all that is here of it, and the layers of the image itself; None if even that is not whole."""
        assert saved.index is not None
        indexes = self._images.indexes
        described, layers = indexes.descriptor(saved.index), None
        members = [member for member in indexes.members(saved.index) if indexes.has(member)]
        parts: dict[Digest, Member] = {}
        for member in members:
            data = self._content.read(member.descriptor.digest)
            manifest = Manifest.parse(data)
            diff_ids = self._images.get(member.image).config.diff_ids if member.image is not None else ()
            if await self._parts(manifest, diff_ids, parts):
                _blob(parts, data, member.descriptor.media_type)
                layers = manifest.layers if member.image == saved.record.id else layers
        if described is None or layers is None:
            return None
        blobs |= parts
        _blob(blobs, self._content.read(saved.index), described.media_type)
        return described, layers

    async def _parts(self, manifest: Manifest, diff_ids: Sequence[Digest], parts: dict[Digest, Member]) -> bool:
        """Members for the very blobs that a manifest names; False if one is not here and cannot be printed."""
        found: dict[Digest, Member] = {}
        for position, blob in enumerate((manifest.config, *manifest.layers), -1):
            if self._content.has(blob.digest):
                found[blob.digest] = Member(_name(blob.digest), blob.size, path=self._content.path(blob.digest))
            elif position >= 0 and blob.digest == (diff_ids[position] if position < len(diff_ids) else None):
                source = self.source(blob.digest, chain_ids(diff_ids)[position])
                found[blob.digest] = Member(_name(blob.digest), blob.size, source=source, expected=blob.digest)
            else:
                return False
        parts |= found
        return True

    def source(self, diff_id: Digest, chain: Digest) -> Source:
        """Where the layer's bytes can be had."""
        return snapshot_source(self._layout, self._snapshots, diff_id, chain)

    def _kept(self, record: ImageRecord, layers: Sequence[Descriptor]) -> bytes | None:
        """The manifest that the image came with, if it names exactly the blobs that go out."""
        if record.manifest is None or not self._content.has(record.manifest.digest):
            return None
        data = self._content.read(record.manifest.digest)
        digests = [layer.digest for layer in Manifest.parse(data).layers]
        return data if digests == [layer.digest for layer in layers] else None


def _named(plain: Descriptor, references: Sequence[Reference]) -> list[Descriptor]:
    """An entry of the index for each name; one without a name if there is none."""
    names = [
        {ANNOTATION_IMAGE_NAME: str(reference), ANNOTATION_REF_NAME: reference.tag or ""} for reference in references
    ]
    return [replace(plain, annotations=name) for name in names] or [plain]


def _legacy(saved: Saved, layers: Sequence[Descriptor]) -> dict[str, Any]:
    return {
        "Config": _name(saved.record.id),
        "RepoTags": [reference.familiar() for reference in saved.references] or None,
        "Layers": [_name(layer.digest) for layer in layers],
        "LayerSources": {
            str(diff_id): layer.to_json() for diff_id, layer in zip(saved.record.config.diff_ids, layers, strict=True)
        },
    }


def _blob(blobs: dict[Digest, Member], data: bytes, media_type: str) -> Descriptor:
    digest = Digest.of(data)
    blobs[digest] = Member(_name(digest), len(data), data=data)
    return Descriptor(media_type, digest, len(data))


def _name(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _oci_layer(media_type: str) -> str:
    compression = media_types.compression_of(media_type)
    return f"{media_types.OCI_LAYER}+{compression}" if compression else media_types.OCI_LAYER


def _widen(fd: int) -> None:
    """A pipe of a megabyte costs a sixteenth of the wake-ups, where the system allows it."""
    try:
        fcntl.fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE)
    except OSError:
        return
