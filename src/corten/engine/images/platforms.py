"""Names that stand for several platforms: what is here of each, as the API prints it.

Owns: the rows of ``Manifests``, and which images are shown under which.  For how names hold images read
store/indexes.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from corten.engine.images import view
from corten.engine.images.ground import ImageGround
from corten.engine.images.shelf import ImageShelf
from corten.errors import CortenError
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.image import Manifest, chain_ids
from corten.store.images import ImageRecord
from corten.store.indexes import Member

REFERENCE_TYPE = "vnd.docker.reference.type"
REFERENCE_DIGEST = "vnd.docker.reference.digest"
ATTESTATION = "attestation-manifest"


class Platforms:
    """Tells of indexes and their members."""

    def __init__(self, ground: ImageGround, shelf: ImageShelf) -> None:
        self._ground = ground
        self._shelf = shelf

    def descriptor(self, record: ImageRecord, target: Digest | None) -> Descriptor | None:
        """What the names of an image name elsewhere: the index, else its manifest; None for one without."""
        for index in (target,) if target is not None else record.targets:
            found = self._ground.images.indexes.descriptor(index)
            if found is not None:
                return found
        return record.manifest

    def manifests(self, record: ImageRecord, target: Digest | None = None) -> list[dict[str, Any]]:
        """A row for each manifest of its indexes (of ``target``, if given), be it here or not.

        An image of one manifest has that one; one that was built here has none until it is pushed.
        """
        targets = (target,) if target is not None else record.targets
        indexes = self._ground.images.indexes
        members = [member for index in targets for member in indexes.members(index)]
        if not members and record.manifest is not None:
            members = [Member(record.manifest, record.id, record.config.platform)]
        return [self._row(member) for member in {member.descriptor.digest: member for member in members}.values()]

    def families(self, records: Sequence[ImageRecord]) -> Mapping[Digest, Sequence[ImageRecord]]:
        """The images without a name of their own that are shown under the one which their name is bound to."""
        nameless = {record.id: record for record in records if not (record.references or record.repo_digests)}
        found: dict[Digest, list[ImageRecord]] = {}
        for record in records:
            others = {image for target in record.targets for image in self._ground.images.indexes.images(target)}
            if under := [nameless[image] for image in sorted(others - {record.id}, key=str) if image in nameless]:
                found[record.id] = under
        return found

    def _row(self, member: Member) -> dict[str, Any]:
        descriptor, platform = member.descriptor, member.platform
        row: dict[str, Any] = {
            "ID": str(descriptor.digest),
            "Descriptor": descriptor.to_json(),
            "Available": self._ground.images.indexes.has(member),
            "Kind": "unknown",
        }
        content = self.content_size(descriptor.digest) if row["Available"] else 0
        unpacked = 0
        if descriptor.annotations.get(REFERENCE_TYPE) == ATTESTATION:
            row["Kind"] = "attestation"
            row["AttestationData"] = {"For": descriptor.annotations.get(REFERENCE_DIGEST, "")}
        elif platform is not None and member.is_for_a_platform:
            users: list[str] = []
            if member.image is not None:
                record = self._ground.images.get(member.image)
                unpacked = sum(self._shelf.size_of(chain) for chain in chain_ids(record.config.diff_ids))
                users = [use.container_id for use in self._shelf.uses(member.image)]
            row["Kind"] = "image"
            row["ImageData"] = view.image_data(platform, users, unpacked)
        return row | {"Size": {"Content": content, "Total": content + unpacked}}

    def content_size(self, manifest: Digest) -> int:
        """Bytes of the blobs here that belong to a manifest: itself, config, layers."""
        content = self._ground.content
        try:
            parsed = Manifest.parse(content.read(manifest))
        except CortenError:
            return 0
        blobs = {parsed.config.digest: parsed.config, **{layer.digest: layer for layer in parsed.layers}}
        return content.size(manifest) + sum(blob.size for digest, blob in blobs.items() if content.has(digest))


def add_up(
    row: dict[str, Any], record: ImageRecord, family: Sequence[ImageRecord], size_of: Callable[[Digest], int]
) -> None:
    """Give the row of a name the bytes of all its platforms, each layer once."""
    stacks = [chain_ids(each.config.diff_ids) for each in (record, *family)]
    row["Size"] = sum(size_of(chain) for chain in {chain for stack in stacks for chain in stack})
