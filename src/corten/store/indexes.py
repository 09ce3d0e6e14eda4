"""Indexes: which images, one a platform, a name stands for.

A name may name an index: a document in the content store that lists a manifest for each platform.  The name keeps the
index's digest as its *target*, and every manifest that is here is recorded with the image it is of.  So an index is
kept whole, as far as its parts are here.  Owns: the table manifests (drawn in db.py) and the parsed documents.
Which names there are: images.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from corten.errors import CortenError
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.image import ImageConfig, Index
from corten.spec.platform import Platform, best, host
from corten.store.content import Content
from corten.store.db import Database


@dataclass(frozen=True, slots=True)
class Member:
    """A manifest that an index lists."""

    descriptor: Descriptor
    image: Digest | None  # None: it is not here
    platform: Platform | None

    @property
    def is_for_a_platform(self) -> bool:
        """An image to run, and no attestation."""
        return self.platform is not None and self.platform.os != "unknown"


class Indexes:
    """The indexes of one data root."""

    def __init__(self, database: Database, content: Content) -> None:
        self._database = database
        self._content = content
        # A document never changes under its digest: parsed once.  None: it is here, and is no index.
        self._parsed: dict[Digest, tuple[Index, Descriptor] | None] = {}

    def get(self, digest: Digest) -> Index | None:
        """The index with this digest; None if there is no such document here, or if it is something else."""
        found = self._known(digest)
        return found[0] if found is not None else None

    def _known(self, digest: Digest) -> tuple[Index, Descriptor] | None:
        if digest not in self._parsed:
            try:
                data = self._content.read(digest)
            except CortenError:
                return None
            try:
                index = Index.parse(data)
                self._parsed[digest] = index, Descriptor(index.media_type, digest, len(data))
            except CortenError:
                self._parsed[digest] = None
        return self._parsed[digest]

    def has(self, member: Member) -> bool:
        """Is it here?  Of an image that was removed the documents may be left for a while."""
        return self._content.has(member.descriptor.digest) and (
            member.image is not None or not member.is_for_a_platform
        )

    def descriptor(self, digest: Digest) -> Descriptor | None:
        """The descriptor of an index that is here."""
        found = self._known(digest)
        return found[1] if found is not None else None

    def members(self, digest: Digest) -> list[Member]:
        """What an index lists, in its order; nothing for what is no index."""
        index = self.get(digest)
        return [self._member(descriptor) for descriptor in index.manifests] if index is not None else []

    def images(self, digest: Digest) -> set[Digest]:
        """The images of an index that are here."""
        index = self.get(digest)
        listed = json.dumps([str(descriptor.digest) for descriptor in index.manifests] if index is not None else [])
        rows = self._database.rows(
            "SELECT DISTINCT image FROM manifests WHERE digest IN (SELECT value FROM json_each(?))", (listed,)
        )
        return {Digest.parse(row["image"]) for row in rows}

    def choose(self, digest: Digest, platform: Platform | None = None) -> Digest | None:
        """The image of an index that suits ``platform`` best, if that one is here.

        Without a platform: of those that are here the one for this host, else the first.
        """
        members = [member for member in self.members(digest) if member.is_for_a_platform]
        if platform is None:
            members = [member for member in members if member.image is not None]
        position = best([member.platform for member in members], platform or host())
        if position is not None:
            return members[position].image
        return members[0].image if members and platform is None else None

    def record_manifest(self, manifest: Descriptor, image: Digest) -> None:
        """Note which image a manifest is of."""
        self._database.execute(
            "INSERT OR REPLACE INTO manifests (digest, descriptor, image) VALUES (?, ?, ?)",
            (str(manifest.digest), json.dumps(manifest.to_json()), str(image)),
        )

    def forget_manifest(self, digest: Digest) -> None:
        """The document is gone."""
        self._database.execute("DELETE FROM manifests WHERE digest = ?", (str(digest),))
        self._parsed.pop(digest, None)

    def image_of(self, manifest: Digest) -> Digest | None:
        """The image that a manifest is of."""
        row = self._database.row("SELECT image FROM manifests WHERE digest = ?", (str(manifest),))
        return Digest.parse(row["image"]) if row else None

    def has_manifest(self, image: Digest) -> bool:
        """Is a manifest of the image here?"""
        return self._database.row("SELECT 1 FROM manifests WHERE image = ?", (str(image),)) is not None

    def manifests(self) -> Iterable[tuple[Descriptor, Digest]]:
        """Every manifest that is here, with its image."""
        for row in self._database.rows("SELECT descriptor, image FROM manifests ORDER BY digest"):
            yield Descriptor.parse(json.loads(row["descriptor"])), Digest.parse(row["image"])

    def _member(self, descriptor: Descriptor) -> Member:
        image = self.image_of(descriptor.digest)
        platform = descriptor.platform
        if platform is None and image is not None:
            platform = ImageConfig.parse(self._content.read(image)).platform
        return Member(descriptor, image, platform)
