"""A manifest as the registry reads it: what it needs, and whose referrer it is.

Owns: Reading.  Pure.  The registry stores any well-formed manifest: unknown artifact types are none of its business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from corten.errors import Invalid
from corten.registry.faults import Refused
from corten.spec import media_types
from corten.spec.canonical import parse_object
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.distribution import ErrorCode
from corten.spec.image import Index, Manifest

_SCHEMA_1 = (media_types.DOCKER_MANIFEST_V1, media_types.DOCKER_MANIFEST_V1_SIGNED)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the bytes of a manifest say."""

    data: bytes
    media_type: str
    blobs: tuple[Digest, ...]
    manifests: tuple[Digest, ...]
    subject: Digest | None = None
    artifact_type: str | None = None
    annotations: Mapping[str, str] | None = None

    @property
    def needs(self) -> tuple[Digest, ...]:
        """Everything that must be there for the manifest to be whole."""
        return self.blobs + self.manifests

    @classmethod
    def of(cls, data: bytes, content_type: str) -> Reading:
        """Read a manifest that came with ``content_type`` (may be empty); raises Refused when it is none."""
        content_type = content_type.partition(";")[0].strip()
        try:
            body = parse_object(data, "manifest")
            if content_type in _SCHEMA_1 or body.get("schemaVersion") == 1:
                raise Invalid("image manifests of schema 1 are not supported")
            claimed = body.get("mediaType")
            if content_type in ("", "application/json", "application/octet-stream"):
                content_type = claimed if isinstance(claimed, str) else ""
            if claimed is not None and claimed != content_type:
                raise Invalid(f"mediaType {claimed!r} is not the Content-Type {content_type!r}")
            if media_types.is_index(content_type) or (not content_type and "manifests" in body):
                return cls._of_index(data, content_type)
            return cls._of_manifest(data, content_type)
        except Invalid as error:
            raise Refused(ErrorCode.MANIFEST_INVALID, str(error)) from error

    @classmethod
    def _of_index(cls, data: bytes, content_type: str) -> Reading:
        index = Index.parse(data)
        return cls(
            data,
            content_type or index.media_type,
            (),
            tuple(dict.fromkeys(entry.digest for entry in index.manifests)),
            index.subject.digest if index.subject else None,
            index.artifact_type,
            index.annotations,
        )

    @classmethod
    def _of_manifest(cls, data: bytes, content_type: str) -> Reading:
        manifest = Manifest.parse(data)
        # A foreign layer (Windows base images) may live elsewhere: its URLs tell where.
        layers = [layer for layer in manifest.layers if not (layer.urls and media_types.is_foreign(layer.media_type))]
        return cls(
            data,
            content_type or manifest.media_type,
            tuple(dict.fromkeys(blob.digest for blob in (manifest.config, *layers))),
            (),
            manifest.subject.digest if manifest.subject else None,
            manifest.artifact_type or manifest.config.media_type,
            manifest.annotations,
        )

    def as_referrer(self, digest: Digest) -> Descriptor:
        """How the manifest appears among its subject's referrers."""
        return Descriptor(
            self.media_type,
            digest,
            len(self.data),
            annotations=dict(self.annotations or {}),
            artifact_type=self.artifact_type,
        )
