"""Manifests, indexes and image configs (image-spec manifest.md, image-index.md, config.md).

Owns: their values, parsed and printed; chain IDs.  A config keeps its exact bytes, for their digest is the image id.
Knows nothing of where blobs are: read store/images.py, distribution/.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from corten.errors import Invalid
from corten.spec import media_types
from corten.spec.canonical import canonical, parse_object
from corten.spec.descriptor import Descriptor, string_map
from corten.spec.digest import Digest
from corten.spec.platform import Platform, best


@dataclass(frozen=True, slots=True)
class Manifest:
    """One platform's image: its config and layers."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = media_types.OCI_MANIFEST
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    subject: Descriptor | None = None
    artifact_type: str | None = None

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """The manifest in ``data``; Invalid when there is none."""
        body = parse_object(data, "manifest")
        _expect_schema(body)
        if "manifests" in body or "fsLayers" in body:
            raise Invalid("invalid manifest: it is an index or of schema 1")
        subject = body.get("subject")
        return cls(
            config=Descriptor.parse(body.get("config")),
            layers=_descriptors(body.get("layers"), "layers"),
            media_type=_media_type(body, media_types.OCI_MANIFEST),
            annotations=string_map(body.get("annotations")),
            subject=Descriptor.parse(subject) if subject is not None else None,
            artifact_type=body.get("artifactType"),
        )

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        body: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "config": self.config.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
        }
        if self.annotations:
            body["annotations"] = dict(self.annotations)
        if self.subject is not None:
            body["subject"] = self.subject.to_json()
        if self.artifact_type:
            body["artifactType"] = self.artifact_type
        return canonical(body)


@dataclass(frozen=True, slots=True)
class Index:
    """A list of manifests, one for each platform."""

    manifests: tuple[Descriptor, ...]
    media_type: str = media_types.OCI_INDEX
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    subject: Descriptor | None = None
    artifact_type: str | None = None

    @classmethod
    def parse(cls, data: bytes) -> Index:
        """The index in ``data``; Invalid when there is none."""
        body = parse_object(data, "image index")
        _expect_schema(body)
        if "layers" in body or "config" in body:
            raise Invalid("invalid image index: it is a manifest")
        subject = body.get("subject")
        return cls(
            manifests=_descriptors(body.get("manifests"), "manifests"),
            media_type=_media_type(body, media_types.OCI_INDEX),
            annotations=string_map(body.get("annotations")),
            subject=Descriptor.parse(subject) if subject is not None else None,
            artifact_type=body.get("artifactType"),
        )

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        body: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "manifests": [manifest.to_json() for manifest in self.manifests],
        }
        if self.annotations:
            body["annotations"] = dict(self.annotations)
        if self.subject is not None:
            body["subject"] = self.subject.to_json()
        if self.artifact_type:
            body["artifactType"] = self.artifact_type
        return canonical(body)

    def select(self, wanted: Platform) -> Descriptor | None:
        """The manifest that suits ``wanted`` best."""
        position = best([manifest.platform for manifest in self.manifests], wanted)
        return None if position is None else self.manifests[position]


@dataclass(frozen=True, slots=True, eq=False)
class ImageConfig:
    """An image config: the exact bytes and a view of what they say."""

    data: bytes
    body: Mapping[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, data: bytes) -> ImageConfig:
        """The image config in ``data``; Invalid when there is none."""
        body = parse_object(data, "image config")
        rootfs = body.get("rootfs") or {}
        diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, Mapping) else None
        if not isinstance(rootfs, Mapping) or not isinstance(diff_ids or [], list):
            raise Invalid("invalid image config: rootfs.diff_ids must be a list")
        for diff_id in diff_ids or []:
            Digest.parse(str(diff_id))
        if not isinstance(body.get("config") or {}, Mapping) or not isinstance(body.get("history") or [], list):
            raise Invalid("invalid image config: config must be an object and history a list")
        return cls(bytes(data), body)

    @classmethod
    def new(cls, body: Mapping[str, Any]) -> ImageConfig:
        """A config printed from ``body``."""
        return cls.parse(canonical(body))

    def to_bytes(self) -> bytes:
        """The exact bytes that were parsed."""
        return self.data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImageConfig) and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.data)

    @property
    def digest(self) -> Digest:
        """The image id."""
        return Digest.of(self.data)

    @property
    def platform(self) -> Platform:
        """What the image is for."""
        return Platform.from_json(self.body)

    @property
    def architecture(self) -> str:
        """As Go names it: amd64."""
        return str(self.body.get("architecture") or "")

    @property
    def os(self) -> str:
        """linux, for all that Corten runs."""
        return str(self.body.get("os") or "")

    @property
    def variant(self) -> str:
        """v7 of arm, or empty."""
        return str(self.body.get("variant") or "")

    @property
    def created(self) -> str:
        """RFC 3339, or empty."""
        return str(self.body.get("created") or "")

    @property
    def author(self) -> str:
        """Who made it, or empty."""
        return str(self.body.get("author") or "")

    @property
    def config(self) -> dict[str, Any]:
        """How to run a container of it; a fresh copy, in Docker's and OCI's capitalised keys."""
        return dict(self.body.get("config") or {})

    @property
    def history(self) -> list[dict[str, Any]]:
        """A record for each step, oldest first; a fresh list."""
        return [dict(item) for item in self.body.get("history") or [] if isinstance(item, Mapping)]

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """The layers, lowest first."""
        rootfs = self.body.get("rootfs") or {}
        return tuple(Digest.parse(str(item)) for item in rootfs.get("diff_ids") or [])

    @property
    def chain_id(self) -> Digest | None:
        """The chain ID of all layers; None for an image without any."""
        return chain_id(self.diff_ids)

    def evolve(self, *, diff_ids: Sequence[Digest] | None = None, **changes: Any) -> ImageConfig:
        """A copy with other ``diff_ids`` and other top-level members (``config=``, ``history=``, ``created=`` …).

        A member set to None is dropped.
        """
        body = {**self.body, **changes}
        for name in [name for name, value in changes.items() if value is None]:
            del body[name]
        if diff_ids is not None:
            body["rootfs"] = {"type": "layers", "diff_ids": [str(item) for item in diff_ids]}
        return ImageConfig.new(body)


def chain_id(diff_ids: Iterable[Digest]) -> Digest | None:
    """The identity of a stack of layers (config.md, Layer ChainID); None for an empty stack."""
    chain: Digest | None = None
    for diff_id in diff_ids:
        chain = chain_step(chain, diff_id)
    return chain


def chain_ids(diff_ids: Iterable[Digest]) -> list[Digest]:
    """The chain ID of each prefix of the stack, lowest first."""
    chains: list[Digest] = []
    for diff_id in diff_ids:
        chains.append(chain_step(chains[-1] if chains else None, diff_id))
    return chains


def chain_step(parent: Digest | None, diff_id: Digest) -> Digest:
    """The chain ID of ``diff_id`` on top of the stack ``parent``."""
    return diff_id if parent is None else Digest.of(f"{parent} {diff_id}".encode())


def _expect_schema(body: Mapping[str, Any]) -> None:
    if body.get("schemaVersion") != 2:
        raise Invalid(f"unsupported manifest: schemaVersion {body.get('schemaVersion')!r}, expected 2")


def _media_type(body: Mapping[str, Any], default: str) -> str:
    media_type = body.get("mediaType") or default
    if not isinstance(media_type, str):
        raise Invalid("invalid manifest: mediaType must be a string")
    return media_type


def _descriptors(value: object, what: str) -> tuple[Descriptor, ...]:
    if value is None and what == "layers":
        return ()
    if not isinstance(value, list):
        raise Invalid(f"invalid manifest: {what} must be a list")
    return tuple(Descriptor.parse(item) for item in value)
