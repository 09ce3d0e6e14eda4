"""What the names in image requests mean: the ``repo`` and ``tag`` parameters, what may be tagged, pulled, pushed.

Owns: Docker's rules of combining the two, and its words of refusal.  Pure.
"""

from __future__ import annotations

from dataclasses import replace

from corten.errors import Invalid
from corten.spec.digest import Digest
from corten.spec.reference import DEFAULT_TAG, Reference


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
