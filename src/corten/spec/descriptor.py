"""The descriptor: what a blob is, its digest, its size.

Owns: Descriptor and its JSON form (image-spec descriptor.md).  Read next: image.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from corten.errors import Invalid
from corten.spec.digest import Digest
from corten.spec.platform import Platform

ANNOTATION_REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A typed pointer to content."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    urls: tuple[str, ...] = ()
    artifact_type: str | None = None

    @classmethod
    def parse(cls, body: object) -> Descriptor:
        """From decoded JSON; Invalid when it is no descriptor."""
        if not isinstance(body, Mapping):
            raise Invalid("invalid descriptor: expected a JSON object")
        size, digest, media_type = body.get("size"), body.get("digest"), body.get("mediaType", "")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise Invalid("invalid descriptor: size must be a number of bytes")
        if not isinstance(digest, str) or not isinstance(media_type, str):
            raise Invalid("invalid descriptor: digest and mediaType must be strings")
        platform = body.get("platform")
        urls = body.get("urls") or ()
        return cls(
            media_type=media_type,
            digest=Digest.parse(digest),
            size=size,
            platform=Platform.from_json(platform) if isinstance(platform, Mapping) else None,
            annotations=string_map(body.get("annotations")),
            urls=tuple(str(url) for url in urls) if isinstance(urls, list | tuple) else (),
            artifact_type=body.get("artifactType"),
        )

    def to_json(self) -> dict[str, Any]:
        """As manifests and indexes write it."""
        body: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.urls:
            body["urls"] = list(self.urls)
        if self.annotations:
            body["annotations"] = dict(self.annotations)
        if self.platform is not None:
            body["platform"] = self.platform.to_json()
        if self.artifact_type:
            body["artifactType"] = self.artifact_type
        return body


def string_map(value: object) -> dict[str, str]:
    """A JSON object of strings, or {} when there is none."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Invalid("invalid annotations: expected a JSON object of strings")
    return {str(key): str(item) for key, item in value.items()}
