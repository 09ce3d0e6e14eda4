"""Operations on images as the API offers them.

Owns: lookup, lists, tags, and which part does what.  Parts: removal.py and disposal.py (taking away), pull.py, push.py,
load.py, save.py, imports.py (bringing and sending), search.py (asking registries).  Knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from corten.api.filters import Filters
from corten.api.times import ZERO, rfc3339
from corten.engine.images import credentials as auth
from corten.engine.images import files, listing, names, removal, view
from corten.engine.images.disposal import Disposal
from corten.engine.images.ground import ImageGround, Progress
from corten.engine.images.imports import CommitRequest, Importer, ImportRequest
from corten.engine.images.load import Loader
from corten.engine.images.manifests import RemoteManifests
from corten.engine.images.platforms import Platforms
from corten.engine.images.pull import Puller
from corten.engine.images.push import Pusher
from corten.engine.images.save import Saver
from corten.engine.images.search import Registries
from corten.engine.images.shelf import ImageShelf
from corten.spec.digest import Digest
from corten.spec.platform import Platform
from corten.spec.reference import Reference
from corten.store.archives.save import Outflow
from corten.store.images import ImageRecord
from corten.store.snapshots.drivers import SHOWN

# docker: the name that clients look for; layers of this store are overlay directories as well.


class ImageService:
    """All images, by Docker's rules."""

    def __init__(
        self, ground: ImageGround, shelf: ImageShelf, puller: Puller, collect_soon: Callable[[], None]
    ) -> None:
        self._ground = ground
        self._shelf = shelf
        self._platforms = Platforms(ground, shelf)
        self._disposal = Disposal(ground, shelf, collect_soon)
        self._puller = puller
        self._pusher = Pusher(ground)
        self._importer = Importer(ground)
        self._loader = Loader(ground)
        self._saver = Saver(ground)
        self._registries = Registries(ground.distribution)
        self._manifests = RemoteManifests(ground)

    # -- looking -----------------------------------------------------------------------------------------------

    def find(self, name: str, platform: Platform | None = None) -> ImageRecord:
        """By name, id or the beginning of an id; raises NotFound in dockerd's words."""
        return names.find(self._ground.images, name, platform)

    def list(
        self, filters: Filters, *, all: bool = False, shared_size: bool = False, manifests: bool = False
    ) -> list[dict[str, Any]]:
        """A row for each image that the filters keep, newest first."""
        records = self._ground.images.all()
        wanted = listing.Listing(filters, all, shared_size, families=self._platforms.families(records))
        rows = listing.rows(records, wanted, self.find, self._shelf.size_of)
        known = {str(record.id): record for record in records}
        for row in rows:
            if described := self._platforms.descriptor(known[row["Id"]], None):
                row["Descriptor"] = described.to_json()
            if manifests:
                row["Manifests"] = self._platforms.manifests(known[row["Id"]])
        return rows

    def usage(self) -> Sequence[dict[str, Any]]:
        """Every top image with its shared size and its number of containers."""
        records = self._ground.images.all()
        counts, families = self._shelf.container_counts(), self._platforms.families(records)
        wanted = listing.Listing(Filters(), shared_size=True, containers=counts, families=families)
        return listing.rows(records, wanted, self.find, self._shelf.size_of)

    def layers_size(self) -> int:
        """Bytes of all layers of all images, each once."""
        return sum(self._shelf.size_of(chain) for chain in self._shelf.chains())

    def inspect(self, name: str, *, manifests: bool = False, platform: Platform | None = None) -> dict[str, Any]:
        """All about one image."""
        record, target = self.find(name, platform), self._ground.images.target_of(name)
        tagged = rfc3339(record.last_tagged) if record.last_tagged else ZERO
        held_by = () if record.references or record.repo_digests else self._shelf.holders(record.id)
        body = view.inspect(record, self._driver_data(record), tagged, held_by)
        # docker: for one platform that one's manifest.
        described = record.manifest if platform is not None else self._platforms.descriptor(record, target)
        if described is not None:
            body["Descriptor"] = described.to_json()
        if manifests:
            body["Manifests"] = self._platforms.manifests(record, target)
        return body

    def history(self, name: str, *, platform: Platform | None = None) -> Sequence[dict[str, Any]]:
        """The steps that made it, newest first."""
        record = self.find(name, platform)
        return view.history(record, self._shelf.size_of, self._shelf.parents(record))

    # -- naming and removing -----------------------------------------------------------------------------------

    def tag(self, name: str, repository: str, tag: str) -> None:
        """Give an image one more name, taken from whichever had it."""
        reference = names.to_tag(repository, tag)
        images = self._ground.images
        self._ground.give_name(self.find(name).id, reference, target=images.target_of(name))

    def remove(
        self, name: str, *, force: bool = False, prune: bool = True, platforms: Sequence[Platform] = ()
    ) -> Sequence[dict[str, str]]:
        """Take a name away, and the image with its last; or only some platforms' images.  What went, in order."""
        for platform in platforms:
            self.find(name, platform)  # raises NotFound before any goes
        gone: list[dict[str, str]] = []
        for platform in platforms:
            gone += self._remove_one(self.find(name, platform), name, force=force, prune=prune)
        return gone if platforms else self._remove(self.find(name), name, force=force, prune=prune)

    def _remove(self, record: ImageRecord, name: str, *, force: bool, prune: bool) -> Sequence[dict[str, str]]:
        plan = removal.plan(self._shelf, record.id, names.as_given(record, name), force=force, prune=prune)
        return self._disposal.perform(plan)

    def _remove_one(self, record: ImageRecord, name: str, *, force: bool, prune: bool) -> Sequence[dict[str, str]]:
        """The image of one platform; with the last goes the name."""
        images = self._ground.images
        target = images.target_of(name)
        if target is None or not images.indexes.images(target) - {record.id}:
            return self._remove(record, name, force=force, prune=prune)
        alone = images.names_alone(record.id)
        return self._disposal.perform(removal.plan_one(self._shelf, record.id, alone, force=force))

    def prune(self, filters: Filters) -> tuple[Sequence[dict[str, str]], int]:
        """Remove what is unused; what went, and the bytes."""
        return self._disposal.prune(filters)

    def drop(self, id: str) -> None:
        """Remove exactly one image, names and all, unless somebody needs it."""
        self._disposal.drop(Digest.parse(id))

    def ids(self) -> Sequence[str]:
        """Every image."""
        return [str(id) for id in self._ground.images.ids()]

    # -- bringing and sending ----------------------------------------------------------------------------------

    def pull_reference(self, name: str, tag: str) -> Reference:
        """What a pull asks for; raises Invalid."""
        return names.to_pull(name, tag)

    async def pull(
        self, reference: Reference, platform: Platform | None, credentials: Mapping[str, Any], progress: Progress
    ) -> None:
        """Bring an image, or all tags of a repository."""
        await self._puller.pull(reference, platform, auth.parse(credentials), progress)

    def push_reference(self, name: str, tag: str) -> Reference:
        """What a push offers; raises Invalid."""
        return names.to_push(name, tag)

    async def push(
        self,
        reference: Reference,
        platform: Platform | None,
        credentials: Mapping[str, Any],
        progress: Progress,
        tell: Callable[[dict[str, Any]], None],
    ) -> None:
        """Offer a tag, or all tags of a repository; ``tell`` hears what the registry has now."""
        await self._pusher.push(reference, platform, auth.parse(credentials), progress, tell)

    def import_request(
        self, source: str, repository: str, tag: str, message: str, changes: Sequence[str], platform: Platform | None
    ) -> ImportRequest:
        """An import, checked before anything is read."""
        return ImportRequest.parse(source, repository, tag, message, changes, platform)

    async def import_image(self, wanted: ImportRequest, body: AsyncIterator[bytes], progress: Progress) -> str:
        """Make an image of a tar; its id."""
        return str(await self._importer.import_image(wanted, body, progress))

    async def commit(self, wanted: CommitRequest) -> str:
        """Make an image of a container's changes; its id."""
        return str(await self._importer.commit(wanted))

    async def load(
        self, body: AsyncIterator[bytes], progress: Progress, *, quiet: bool = True, platform: Platform | None = None
    ) -> Sequence[str]:
        """Take the images out of an archive; a sentence about each."""
        return await self._loader.load(body, progress, quiet=quiet, platform=platform)

    def save(self, wanted: Sequence[str], *, platform: Platform | None = None) -> AbstractAsyncContextManager[Outflow]:
        """Images in an archive, while it is being made."""
        return self._saver.save(wanted, self.find, platform=platform)

    def files(self, name: str) -> AsyncIterator[bytes]:
        """A tar of the files that a container would see; raises NotFound before the first byte."""
        return files.tar(self._ground, self.find(name))

    async def changes(self, name: str, since: str = "") -> Sequence[dict[str, Any]]:
        """What each layer adds, changes and removes, or all of it against another image."""
        before = self.find(since) if since else None
        return await files.changes(self._ground, self.find(name), before)

    # -- asking registries -------------------------------------------------------------------------------------

    async def search(
        self, term: str, limit: int, filters: Filters, credentials: Mapping[str, Any]
    ) -> Sequence[dict[str, Any]]:
        """Repositories that a registry knows for a term."""
        return await self._registries.search(term, limit, filters, auth.parse(credentials))

    async def inspect_remote(self, name: str, credentials: Mapping[str, Any]) -> dict[str, Any]:
        """Digest and platforms of what a registry has under a name."""
        return await self._registries.inspect(name, auth.parse(credentials))

    async def inspect_manifest(
        self, name: str, credentials: Mapping[str, Any], *, insecure: bool, verbose: bool
    ) -> dict[str, Any]:
        """The document that a registry has under a name, and those that it lists."""
        return await self._manifests.inspect(name, auth.parse(credentials), insecure=insecure, verbose=verbose)

    async def push_manifests(
        self, name: str, body: Mapping[str, Any], credentials: Mapping[str, Any], *, insecure: bool
    ) -> dict[str, Any]:
        """Put a list of manifests at a registry, with what it lists."""
        return await self._manifests.push(name, body, auth.parse(credentials), insecure=insecure)

    async def login(self, body: Mapping[str, Any]) -> tuple[str, str]:
        """Try credentials; Docker's status line, and a token to keep in place of the password."""
        return await self._registries.login(body)

    # -- views -------------------------------------------------------------------------------------------------

    def _driver_data(self, record: ImageRecord) -> dict[str, Any]:
        """The directories of the top layer, for who looks at them on the host."""
        chain, snapshots = record.config.chain_id, self._ground.snapshots
        name = SHOWN.get(snapshots.name, snapshots.name)
        if chain is None or not snapshots.exists(str(chain)):
            return {"Name": name, "Data": None}
        upper, lowers = snapshots.upper(str(chain)), snapshots.lowers(str(chain))
        data = {
            "MergedDir": str(upper.parent / "merged"),
            "UpperDir": str(upper),
            "WorkDir": str(upper.parent / "work"),
        }
        if lowers:
            data["LowerDir"] = ":".join(str(path) for path in lowers)
        return {"Name": name, "Data": data}
