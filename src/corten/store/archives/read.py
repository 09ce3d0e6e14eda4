"""The images in an archive: Docker's form (manifest.json) if it is there, else an OCI layout (index.json).

Owns: both forms' JSON.  What the archive says is checked where it is used: configs and manifests here, layers by their
diff IDs when they are unpacked (load.py).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
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
class ArchivedImage:
    """An image in an archive."""

    config: bytes
    layers: tuple[Extent, ...]
    references: tuple[Reference, ...]

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
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> ArchivedImage:
        """From the pipe."""
        return cls(
            config=base64.b64decode(body["config"]),
            layers=tuple(Extent(path, offset, size) for path, offset, size in body["layers"]),
            references=tuple(Reference.parse(text) for text in body["references"]),
        )


def read_archive(path: Path, scratch: Path, platform: Platform | None = None) -> list[ArchivedImage]:
    """The images in the archive at ``path``, in its order.  ``scratch`` must live as long as the extents are used."""
    table = Table.of(path, scratch)
    if table.has("manifest.json"):
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
        manifest = _choose(table, descriptors, platform, MAX_DEPTH)
        if manifest is None:
            raise Invalid(f"the archive has no image for platform {platform or host()}")
        reference = _reference(name)
        yield ArchivedImage(
            config=_blob(table, manifest.config),
            layers=tuple(table.extent(_name(layer)) for layer in manifest.layers),
            references=(reference,) if reference else (),
        )


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
