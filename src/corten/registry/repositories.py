"""What the store holds, and every rule about references.

    blobs/sha256/ab/<hex>                     bytes of a layer, a config or a manifest: whole and verified
    repositories/<name, its / written !>/
        blobs/<algorithm>-<hex>               this repository holds the blob; the record is its size
        manifests/<algorithm>-<hex>           this repository holds the manifest; the record is Held as JSON
        tags/<tag>                            the digest that the tag names
        referrers/<subject>/<manifest>        a descriptor: that manifest's subject is this one
    uploads/<id>                              bytes on their way (storage/)

Rules, which collect.py relies on:
- a reference is written under ``shared``, after what it refers to; removal happens under ``exclusive``;
- what a push relies on is touched: nothing touched within the grace period is collected;
- a crash at any point leaves at most unreferenced things, which are collected later.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from corten.registry.faults import Refused
from corten.registry.manifest import Reading
from corten.registry.storage.base import Driver
from corten.spec.canonical import canonical
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.distribution import ErrorCode, is_tag, referrers_tag
from corten.spec.image import Index

_CACHE_ENTRIES = 512
_CACHE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Held:
    """A manifest as a repository holds it."""

    digest: Digest
    media_type: str
    size: int

    def to_bytes(self) -> bytes:
        """The record."""
        return canonical({"mediaType": self.media_type, "size": self.size})


def blob_key(digest: Digest) -> str:
    """Where the bytes are."""
    return f"blobs/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}"


def _flat(digest: Digest) -> str:
    return f"{digest.algorithm}-{digest.hex}"


def _digest(flat: str) -> Digest:
    return Digest.parse(flat.replace("-", ":", 1))


class Repositories:
    """All repositories of one store."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self._manifests: dict[Digest, bytes] = {}  # bytes never change under a digest, so any process may keep them

    def at(self, name: str) -> Repository:
        """The repository ``name``, whether or not it holds anything."""
        return Repository(self, name)

    async def names(self) -> list[str]:
        """The repositories that hold something."""
        return sorted(entry.replace("!", "/") for entry in await self.driver.children("repositories"))

    async def manifest_bytes(self, digest: Digest) -> bytes | None:
        """The bytes of a manifest, from memory where it was read before."""
        cached = self._manifests.get(digest)
        if cached is not None:
            return cached
        data = await self.driver.read(blob_key(digest))
        if data is not None and len(data) <= _CACHE_BYTES:
            if len(self._manifests) >= _CACHE_ENTRIES:
                del self._manifests[next(iter(self._manifests))]
            self._manifests[digest] = data
        return data

    async def write_blob(self, data: bytes, digest: Digest) -> None:
        """Put verified small bytes where they belong.  Call it under ``shared``."""
        key = blob_key(digest)
        if not await self.driver.touch(key):
            await self.driver.write(key, data)


class Repository:
    """One repository."""

    def __init__(self, repositories: Repositories, name: str) -> None:
        self._all = repositories
        self._driver = repositories.driver
        self.name = name
        self.key = "repositories/" + name.replace("/", "!")

    async def exists(self) -> bool:
        """Whether it holds anything."""
        return bool(await self._driver.children(self.key))

    # -- blobs

    async def blob_size(self, digest: Digest) -> int | None:
        """The size of a blob that the repository holds; None where it does not hold it."""
        if await self._driver.stat(self._blob(digest)) is None:
            return None
        found = await self._driver.stat(blob_key(digest))
        return None if found is None else found.size

    async def read_blob(self, digest: Digest) -> bytes | None:
        """The bytes of a small blob."""
        return await self._driver.read(blob_key(digest))

    async def keep_blob(self, digest: Digest) -> bool:
        """Save a blob that a push relies on from collection for another grace period."""
        async with self._driver.shared():
            return await self._driver.touch(blob_key(digest)) and await self._driver.touch(self._blob(digest))

    async def link_blob(self, digest: Digest, size: int) -> None:
        """Hold a blob whose bytes are in the store.  Call it under ``shared``."""
        await self._driver.write(self._blob(digest), str(size).encode())

    async def unlink_blob(self, digest: Digest) -> bool:
        """Hold the blob no longer.  Call it under ``exclusive``."""
        return await self._driver.delete(self._blob(digest))

    async def blobs(self) -> list[Digest]:
        """The blobs held."""
        return [_digest(entry) for entry in await self._driver.children(f"{self.key}/blobs")]

    async def blob_age(self, digest: Digest, now: float) -> float:
        """How long ago a push last relied on the blob here."""
        found = await self._driver.stat(self._blob(digest))
        return 0.0 if found is None else now - found.modified

    async def usage(self) -> int:
        """The bytes of the blobs held."""
        sizes = [await self._driver.read(self._blob(digest)) for digest in await self.blobs()]
        return sum(int(size) for size in sizes if size)

    # -- manifests

    async def resolve(self, reference: str) -> Digest | None:
        """The digest that a tag or a digest names."""
        if ":" in reference:
            return Digest.parse(reference)
        if not is_tag(reference):
            raise Refused(ErrorCode.MANIFEST_INVALID, f"invalid tag {reference[:140]!r}")
        record = await self._driver.read(f"{self.key}/tags/{reference}")
        return Digest.parse(record.decode().strip()) if record else None

    async def held(self, digest: Digest) -> Held | None:
        """The manifest's type and size."""
        record = await self._driver.read(self._manifest(digest))
        if record is None:
            return None
        body = json.loads(record)
        return Held(digest, body["mediaType"], body["size"])

    async def manifest(self, digest: Digest) -> tuple[Held, bytes] | None:
        """The manifest and its bytes."""
        held = await self.held(digest)
        data = await self._all.manifest_bytes(digest) if held else None
        return (held, data) if held and data is not None else None

    async def manifests(self) -> list[Digest]:
        """The manifests held."""
        return [_digest(entry) for entry in await self._driver.children(f"{self.key}/manifests")]

    async def manifest_age(self, digest: Digest, now: float) -> float:
        """How long ago the manifest was pushed."""
        found = await self._driver.stat(self._manifest(digest))
        return 0.0 if found is None else now - found.modified

    async def put_manifest(self, reading: Reading, digest: Digest, tags: Iterable[str], *, whole: bool = True) -> None:
        """Hold a manifest, its tags and its place among its subject's referrers: all that it needs must be here.

        A cache of another registry does without that (``whole`` is False): it fetches blobs when they are asked for.
        """
        async with self._driver.shared():
            if whole:
                await self._require(reading)
            await self._all.write_blob(reading.data, digest)
            held = Held(digest, reading.media_type, len(reading.data))
            await self._driver.write(self._manifest(digest), held.to_bytes())
            if reading.subject is not None:
                record = canonical(reading.as_referrer(digest).to_json())
                await self._driver.write(f"{self.key}/referrers/{_flat(reading.subject)}/{_flat(digest)}", record)
            for tag in tags:
                await self._driver.write(f"{self.key}/tags/{tag}", str(digest).encode())

    async def delete_tag(self, tag: str) -> bool:
        """Forget a tag; the manifest stays until it is deleted or collected."""
        async with self._driver.exclusive():
            return await self._driver.delete(f"{self.key}/tags/{tag}")

    async def delete_manifest(self, digest: Digest) -> bool:
        """Hold the manifest no longer, nor any tag of it."""
        async with self._driver.exclusive():
            return await self.drop_manifest(digest)

    async def drop_manifest(self, digest: Digest) -> bool:
        """``delete_manifest`` for one who holds ``exclusive`` already."""
        found = await self.manifest(digest)
        if found is None:
            return False
        for tag in await self.tags():
            if await self.resolve(tag) == digest:
                await self._driver.delete(f"{self.key}/tags/{tag}")
        await self._driver.delete(self._manifest(digest))
        subject = Reading.of(found[1], found[0].media_type).subject
        if subject is not None:
            await self._driver.delete(f"{self.key}/referrers/{_flat(subject)}/{_flat(digest)}")
        return True

    async def users_of(self, digest: Digest) -> list[Digest]:
        """The manifests here that need the blob or manifest ``digest``."""
        users = []
        for candidate in await self.manifests():
            found = await self.manifest(candidate)
            if found and digest in Reading.of(found[1], found[0].media_type).needs:
                users.append(candidate)
        return users

    # -- tags and referrers

    async def tags(self) -> list[str]:
        """The tags, in the order of their bytes."""
        return await self._driver.children(f"{self.key}/tags")

    async def referrers(self, subject: Digest) -> list[Descriptor]:
        """The manifests whose subject is ``subject``, with those listed under the tag schema before us."""
        folder = f"{self.key}/referrers/{_flat(subject)}"
        records = [await self._driver.read(f"{folder}/{entry}") for entry in await self._driver.children(folder)]
        found = [Descriptor.parse(json.loads(record)) for record in records if record]
        known = {descriptor.digest for descriptor in found}
        return found + [listed for listed in await self._listed_by_tag(subject) if listed.digest not in known]

    async def _listed_by_tag(self, subject: Digest) -> list[Descriptor]:
        tagged = await self.resolve(referrers_tag(subject))
        found = await self.manifest(tagged) if tagged else None
        if found is None:
            return []
        try:
            listed = Index.parse(found[1]).manifests
        except Exception:  # a tag of that form which is no index: somebody's image, then
            return []
        return [entry for entry in listed if await self.held(entry.digest)]

    async def _require(self, reading: Reading) -> None:
        """Everything that the manifest needs is held here, and stays."""
        for digest in reading.blobs:
            there = await self._driver.touch(blob_key(digest)) and await self._driver.touch(self._blob(digest))
            if not there:
                raise Refused(ErrorCode.MANIFEST_BLOB_UNKNOWN, detail={"digest": str(digest)})
        for digest in reading.manifests:
            if await self.held(digest) is None:
                raise Refused(ErrorCode.MANIFEST_BLOB_UNKNOWN, "manifest unknown", detail={"digest": str(digest)})

    def _blob(self, digest: Digest) -> str:
        return f"{self.key}/blobs/{_flat(digest)}"

    def _manifest(self, digest: Digest) -> str:
        return f"{self.key}/manifests/{_flat(digest)}"
