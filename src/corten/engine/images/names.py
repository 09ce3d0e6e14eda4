"""What the names in image requests mean: the ``repo`` and ``tag`` parameters, what may be tagged, pulled, pushed.

Owns: Docker's rules of combining the two, which platform of a name is meant, and the words of refusal.  Pure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from corten.errors import Invalid, NotFound
from corten.spec.digest import Digest
from corten.spec.platform import Platform
from corten.spec.reference import DEFAULT_TAG, Reference
from corten.store.images import ImageRecord


class Finder(Protocol):
    """Who knows images by name (store/images.py)."""

    def find(self, name: str, /) -> ImageRecord: ...
    def find_for(self, name: str, platform: Platform, /) -> ImageRecord | None: ...


def find(images: Finder, name: str, platform: Platform | None) -> ImageRecord:
    """The image of a name, for a platform if one is asked for; raises NotFound in words that make clients pull it."""
    record = images.find(name)
    if platform is None:
        return record
    found = images.find_for(name, platform)
    if found is None:
        has = record.config.platform
        raise NotFound(
            f"image with reference {name} was found but its platform ({has}) does not match the specified platform "
            f"({platform})"
        )
    return found


def as_given(record: ImageRecord, name: str) -> str:
    """The name as rules of removal read it: the id where the image was found by the digest of a manifest."""
    text = name.removeprefix("sha256:")
    ours = {reference.familiar() for reference in (*record.references, *record.repo_digests)}
    is_known = name in ours or f"{name}:{DEFAULT_TAG}" in ours
    is_hex = bool(text) and all(letter in "0123456789abcdef" for letter in text)
    return str(record.id) if is_hex and not is_known and not record.id.hex.startswith(text) else name


def to_tag(repository: str, tag: str) -> Reference:
    """A name to give: ``tag`` wins over one in ``repository``, neither means latest.  Raises Invalid."""
    if not repository:
        raise Invalid("invalid reference format")
    reference = Reference.parse(repository, default_tag=None)
    if reference.digest is not None:
        raise Invalid("cannot import digest reference")
    reference = replace(reference, tag=tag or reference.tag or DEFAULT_TAG)
    if reference.familiar_name == "sha256":
        raise Invalid("refusing to create an ambiguous tag using digest algorithm as name")
    return reference


def optional(repository: str, tag: str) -> Reference | None:
    """As ``to_tag``, where no repository means no name."""
    return to_tag(repository, tag) if repository else None


def to_pull(name: str, tag: str) -> Reference:
    """What to ask a registry for; ``tag`` may be a digest.  Neither tag nor digest means every tag."""
    reference = Reference.parse(name, default_tag=None)
    if not tag:
        return reference
    if ":" in tag:
        return reference.with_digest(Digest.parse(tag))
    return replace(reference, tag=tag)


def to_push(name: str, tag: str) -> Reference:
    """What to offer a registry; no tag means every tag that is here."""
    reference = Reference.parse(name, default_tag=None)
    if reference.digest is not None:
        raise Invalid("cannot push a digest reference")
    return replace(reference, tag=tag) if tag else reference
