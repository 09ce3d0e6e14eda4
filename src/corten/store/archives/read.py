"""The images in an archive: Docker's form (manifest.json) if it is there, else an OCI layout (index.json).

Owns: both forms' JSON.  What the archive says is checked where it is used: configs and manifests here, layers by their
diff IDs when they are unpacked (load.py).  An index is several images, one a platform, which keep its documents.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from corten.errors import Invalid
from corten.spec import media_types
from corten.spec.descriptor import ANNOTATION_REF_NAME, Descriptor
from corten.spec.digest import Digest
from corten.spec.image import ImageConfig, Index, Manifest
from corten.spec.platform import Platform, best, host
from corten.spec.reference import Reference
from corten.store.archives.table import Table
from corten.store.layers.stream import Extent

ANNOTATION_IMAGE_NAME = "io.containerd.image.name"
MAX_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Listed:
    """How an index lists an image: the documents, and the blobs that are to be kept for them."""

    index: bytes
    manifest: bytes
    blobs: tuple[tuple[Digest, Extent], ...]
    is_last: bool  # of this index: then it can be named

    def to_json(self) -> dict[str, Any]:
        """For the pipe from a worker."""
        return {
            "index": base64.b64encode(self.index).decode(),
            "manifest": base64.b64encode(self.manifest).decode(),
            "blobs": [[str(digest), blob.path, blob.offset, blob.size] for digest, blob in self.blobs],
            "is_last": self.is_last,
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Listed:
        """From the pipe."""
        return cls(
            index=base64.b64decode(body["index"]),
            manifest=base64.b64decode(body["manifest"]),
            blobs=tuple(
                (Digest.parse(digest), Extent(path, offset, size)) for digest, path, offset, size in body["blobs"]
            ),
            is_last=body["is_last"],
        )


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """An image in an archive."""

    config: bytes
    layers: tuple[Extent, ...]
    references: tuple[Reference, ...]
    listed: Listed | None = None

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """What the layers must be."""
        return ImageConfig.parse(self.config).diff_ids

    def to_json(self) -> dict[str, Any]:
        """For the pipe from a worker."""
        return {
            "config": base64.b64encode(self.config).decode(),
            "layers": [[layer.path, layer.offset, layer.size] for layer in self.layers],
            "references": [str(reference) for reference in self.references],
            "listed": self.listed.to_json() if self.listed else None,
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> ArchivedImage:
        """From the pipe."""
        return cls(
            config=base64.b64decode(body["config"]),
            layers=tuple(Extent(path, offset, size) for path, offset, size in body["layers"]),
            references=tuple(Reference.parse(text) for text in body["references"]),
            listed=Listed.from_json(body["listed"]) if body["listed"] else None,
        )


def read_archive(path: Path, scratch: Path, platform: Platform | None = None) -> list[ArchivedImage]:
    """The images in the archive at ``path``, in its order.  ``scratch`` must live as long as the extents are used."""
    table = Table.of(path, scratch)
    if table.has("manifest.json") and not _has_index(table):
        images = list(_docker(table))
        if platform is not None:
            images = [image for image in images if ImageConfig.parse(image.config).platform.matches(platform)]
            if not images:
                raise Invalid(f"the archive has no image for platform {platform}")
    elif table.has("index.json"):
        images = list(_layout(table, platform))
    else:
        raise Invalid("invalid archive: it has neither manifest.json nor index.json")
    for image in images:
        if len(image.diff_ids) != len(image.layers):
            raise Invalid(f"invalid archive: {len(image.layers)} layers for {len(image.diff_ids)} diff IDs")
    return images


def _docker(table: Table) -> Iterator[ArchivedImage]:
    """As ``docker save`` has it, since 1.10."""
    for item in _list(_json(table.read("manifest.json"), "manifest.json"), "manifest.json"):
        if not isinstance(item, dict) or not isinstance(item.get("Config"), str):
            raise Invalid("invalid archive: manifest.json names no config")
        names = [str(name) for name in _list(item.get("RepoTags") or [], "RepoTags")]
        config = ImageConfig.parse(table.read(item["Config"])).to_bytes()
        layers = _list(item.get("Layers") or [], "Layers")
        yield ArchivedImage(
            config=config,
            layers=tuple(table.extent(str(layer)) for layer in layers),
            references=tuple(Reference.parse(name) for name in names),
        )


def _layout(table: Table, platform: Platform | None) -> Iterator[ArchivedImage]:
    """As the image specification has it.  Manifests of one name are one image for several platforms."""
    groups: dict[str, list[Descriptor]] = {}
    for number, descriptor in enumerate(Index.parse(table.read("index.json")).manifests):
        name = descriptor.annotations.get(ANNOTATION_IMAGE_NAME) or descriptor.annotations.get(ANNOTATION_REF_NAME, "")
        groups.setdefault(name if _reference(name) else f"{name}#{number}", []).append(descriptor)
    for name, descriptors in groups.items():
        if len(descriptors) == 1 and media_types.is_index(descriptors[0].media_type):
            whole = _whole(table, descriptors[0], platform, _reference(name))
            if whole is not None:
                yield from whole
                continue
        manifest = _choose(table, descriptors, platform, MAX_DEPTH)
        if manifest is None:
            raise Invalid(f"the archive has no image for platform {platform or host()}")
        reference = _reference(name)
        yield ArchivedImage(
            config=_blob(table, manifest.config),
            layers=tuple(table.extent(_name(layer)) for layer in manifest.layers),
            references=(reference,) if reference else (),
        )


def _has_index(table: Table) -> bool:
    """Does the archive hold an image for several platforms?  docker names only one of them in manifest.json."""
    if not table.has("index.json"):
        return False
    return any(media_types.is_index(item.media_type) for item in Index.parse(table.read("index.json")).manifests)


def _whole(
    table: Table, descriptor: Descriptor, platform: Platform | None, reference: Reference | None
) -> list[ArchivedImage] | None:
    """What the archive has of an index: every platform, or one; None where its manifests are indexes again."""
    data = _blob(table, descriptor)
    listed = [item for item in Index.parse(data).manifests if table.has(_name(item))]
    if any(media_types.is_index(item.media_type) for item in listed):
        return None
    real = [item for item in listed if item.platform is None or item.platform.os != "unknown"]
    extra = tuple(blob for item in listed if item not in real for blob in _blobs_of(table, item))
    found = [image for item in real if (image := _of_index(table, data, item, extra)) is not None]
    if platform is not None:
        position = best([ImageConfig.parse(image.config).platform for image in found], platform)
        found = found[position : position + 1] if position is not None else []
    if not found:
        raise Invalid(f"the archive has no image for platform {platform or host()}")
    references = (reference,) if reference else ()
    return [*found[:-1], *(_last(image, references) for image in found[-1:])]


def _last(image: ArchivedImage, references: tuple[Reference, ...]) -> ArchivedImage:
    """The image with which its index is complete, and gets its names."""
    listed = replace(image.listed, is_last=True) if image.listed is not None else None
    return replace(image, references=references, listed=listed)


def _of_index(
    table: Table, index: bytes, descriptor: Descriptor, extra: tuple[tuple[Digest, Extent], ...]
) -> ArchivedImage | None:
    """The image of a manifest in an index; None if the archive has not all of it."""
    data = _blob(table, descriptor)
    manifest = Manifest.parse(data)
    if not all(table.has(_name(blob)) for blob in (manifest.config, *manifest.layers)):
        return None
    layers = tuple(table.extent(_name(layer)) for layer in manifest.layers)
    kept = tuple(zip((layer.digest for layer in manifest.layers), layers, strict=True))
    return ArchivedImage(_blob(table, manifest.config), layers, (), Listed(index, data, (*kept, *extra), False))


def _blobs_of(table: Table, descriptor: Descriptor) -> list[tuple[Digest, Extent]]:
    """A manifest that is no image (an attestation) with all it names; nothing if the archive has not all of it."""
    manifest = Manifest.parse(_blob(table, descriptor))
    blobs = (descriptor, manifest.config, *manifest.layers)
    if not all(table.has(_name(blob)) for blob in blobs):
        return []
    return [(blob.digest, table.extent(_name(blob))) for blob in blobs]


def _choose(table: Table, descriptors: list[Descriptor], platform: Platform | None, depth: int) -> Manifest | None:
    """The manifest that suits ``platform`` best (or this host, or the only one there is)."""
    if depth == 0:
        raise Invalid("invalid archive: indexes nested too deep")
    real = [item for item in descriptors if item.platform is None or item.platform.os != "unknown"]
    if len(real) > 1:
        position = best([item.platform for item in real], platform or host())
        real = real[position : position + 1] if position is not None else []
    if not real:
        return None
    data = _blob(table, real[0])
    if media_types.is_index(real[0].media_type):
        return _choose(table, list(Index.parse(data).manifests), platform, depth - 1)
    manifest = Manifest.parse(data)
    found = ImageConfig.parse(_blob(table, manifest.config)).platform
    return manifest if platform is None or found.matches(platform) else None


def _blob(table: Table, descriptor: Descriptor) -> bytes:
    data = table.read(_name(descriptor))
    if Digest.of(data, descriptor.digest.algorithm) != descriptor.digest:
        raise Invalid(f"invalid archive: blob {descriptor.digest} has another digest")
    return data


def _name(descriptor: Descriptor) -> str:
    return f"blobs/{descriptor.digest.algorithm}/{descriptor.digest.hex}"


def _reference(name: str) -> Reference | None:
    """The reference that an annotation holds; a bare tag names nothing."""
    if "/" not in name and ":" not in name:
        return None
    try:
        return Reference.parse(name)
    except Invalid:
        return None


def _json(data: bytes, what: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"invalid archive: {what}: {error}") from None


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise Invalid(f"invalid archive: {what} is no list")
    return value
