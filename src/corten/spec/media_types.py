"""Media types of images, OCI's and Docker's, and what they tell.

Owns: the constants and is_index(), is_manifest(), is_config(), is_layer(), compression_of().
"""

from __future__ import annotations

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = OCI_LAYER + "+gzip"
OCI_LAYER_ZSTD = OCI_LAYER + "+zstd"
OCI_NONDISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"

DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_MANIFEST_V1 = "application/vnd.docker.distribution.manifest.v1+json"
DOCKER_MANIFEST_V1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = DOCKER_LAYER + ".gzip"
DOCKER_LAYER_ZSTD = DOCKER_LAYER + ".zstd"
DOCKER_FOREIGN_LAYER_GZIP = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

OCTET_STREAM = "application/octet-stream"


def is_index(media_type: str) -> bool:
    """Does this name a list of manifests?"""
    return media_type in (OCI_INDEX, DOCKER_INDEX)


def is_manifest(media_type: str) -> bool:
    """Does this name one platform's manifest?"""
    return media_type in (OCI_MANIFEST, DOCKER_MANIFEST)


def is_config(media_type: str) -> bool:
    """Does this name an image config?"""
    return media_type in (OCI_CONFIG, DOCKER_CONFIG)


def is_layer(media_type: str) -> bool:
    """Does this name a tar of changes, compressed or not?"""
    return media_type.startswith((OCI_LAYER, OCI_NONDISTRIBUTABLE, DOCKER_LAYER)) or is_foreign(media_type)


def is_foreign(media_type: str) -> bool:
    """Does this name a layer that must not be pushed elsewhere?"""
    return media_type.startswith((OCI_NONDISTRIBUTABLE, "application/vnd.docker.image.rootfs.foreign."))


def compression_of(media_type: str) -> str:
    """``gzip``, ``zstd`` or ``""``, as a layer's media type claims."""
    for name in ("gzip", "zstd"):
        if media_type.endswith(("+" + name, "." + name)):
            return name
    return ""
