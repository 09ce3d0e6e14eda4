"""Pushing an index whole: every manifest that it lists, then the index itself.

Owns: when an index can go (all it lists is here, or in the repository already), and what is said when it cannot.
For one platform's image, and for what compressing takes, read push.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from corten.distribution.model import Credentials
from corten.distribution.together import Together
from corten.engine.images.ground import ImageGround, Progress
from corten.errors import CortenError, NotFound
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.image import Manifest
from corten.spec.reference import Reference
from corten.store.indexes import Member

Tell = Callable[[dict[str, Any]], None]
"""Whom results and notes for programs are told (``aux``)."""


@dataclass(frozen=True, slots=True)
class Whole:
    """An index under its name, and how much of it is at hand."""

    reference: Reference
    descriptor: Descriptor
    members: Sequence[Member]
    absent: Sequence[Member]
    _ground: ImageGround = field(repr=False)

    @classmethod
    def of(cls, ground: ImageGround, reference: Reference, target: Digest) -> Whole | None:
        """The index ``target``; None if it is none that is here."""
        descriptor = ground.images.indexes.descriptor(target)
        if descriptor is None:
            return None
        members = ground.images.indexes.members(target)
        absent = [member for member in members if not ground.images.indexes.has(member)]
        return cls(reference, descriptor, members, absent, ground)

    @property
    def runnable(self) -> list[Member]:
        """The images that are here."""
        return [member for member in self.members if member.is_for_a_platform and member.image is not None]

    async def can_go(self, credentials: Credentials) -> bool:
        """Is what is not here in the repository already?"""
        for member in self.absent:
            try:
                await self._ground.distribution.resolve(
                    self.reference.with_digest(member.descriptor.digest), credentials
                )
            except CortenError:
                return False
        return True

    def explain(self, tell: Tell) -> NotFound:
        """What is missing: for programs a note, for people the platforms."""
        tell({"contentMissing": True, "desc": self.descriptor.to_json()})
        missing = ", ".join(str(member.platform or member.descriptor.digest) for member in self.absent)
        here = ", ".join(str(member.platform) for member in self.runnable)
        return NotFound(
            f"the index of {self.reference.familiar()} is not whole: of {missing} the manifest is neither here nor in "
            f"the repository; here are {here}"
        )

    async def push(self, credentials: Credentials, progress: Progress, mount_from: Sequence[str], tell: Tell) -> None:
        """Every part, several at once; the index when they are there."""
        ground, untagged = self._ground, self.reference.with_tag(None)

        async def one(member: Member) -> None:
            data = ground.content.read(member.descriptor.digest)
            manifest = Manifest.parse(data)
            await ground.distribution.push(
                untagged,
                data,
                member.descriptor.media_type or manifest.media_type,
                [*manifest.layers, manifest.config],
                ground.content,
                credentials=credentials,
                progress=WithoutConfig(progress, manifest.config.digest.short),
                mount_from=mount_from,
            )

        gone = {member.descriptor.digest for member in self.absent}
        try:
            async with Together() as group:
                for member in self.members:
                    if member.descriptor.digest not in gone:
                        group.create_task(one(member))
        except NotFound:
            tell({"contentMissing": True, "desc": self.descriptor.to_json()})
            raise
        data = ground.content.read(self.descriptor.digest)
        await ground.distribution.put_manifest(self.reference, data, self.descriptor.media_type, credentials)


def instead(whole: Whole, chosen: Descriptor) -> dict[str, Any]:
    """The note that only one image of an index went."""
    return {
        "manifestPushedInsteadOfIndex": True,
        "originalIndex": whole.descriptor.to_json(),
        "selectedManifest": chosen.to_json(),
    }


class WithoutConfig:
    """docker: shows layers only; the config goes up unseen."""

    def __init__(self, progress: Progress, config: str) -> None:
        self._progress = progress
        self._config = config

    def update(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        """See Progress."""
        if id != self._config:
            self._progress.update(id, status, current, total)

    def message(self, status: str, id: str | None = None) -> None:
        """See Progress."""
        self._progress.message(status, id)
