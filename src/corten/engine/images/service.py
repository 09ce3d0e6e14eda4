"""Operations on images as the API offers them.

Owns: lookup, lists, tags, removal and their events.  What moves layers is in files of its own, which this service
holds: pull.py, push.py, load.py, save.py, imports.py.  Knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corten.api.filters import Filters
from corten.api.times import ZERO, rfc3339
from corten.engine.events import Events
from corten.engine.images import listing, names, removal, view
from corten.engine.images.disposal import Disposal
from corten.engine.images.shelf import ImageShelf
from corten.errors import NotFound
from corten.spec.digest import Digest
from corten.spec.image import chain_ids
from corten.spec.platform import Platform
from corten.spec.reference import Reference
from corten.store.images import ImageRecord, Images
from corten.store.snapshots.base import Snapshots

# docker: the name that clients look for; layers of this store are overlay directories as well.
DRIVER_NAME = "overlay2"


class ImageService:
    """All images, by Docker's rules."""

    def __init__(
        self, images: Images, snapshots: Snapshots, shelf: ImageShelf, disposal: Disposal, events: Events
    ) -> None:
        self._images = images
        self._snapshots = snapshots
        self._shelf = shelf
        self._disposal = disposal
        self._events = events

    def find(self, name: str, platform: Platform | None = None) -> ImageRecord:
        """By name, id or the beginning of an id; raises NotFound in dockerd's words."""
        record = self._images.find(name)
        has = record.config.platform
        if platform is not None and not has.matches(platform):
            raise NotFound(
                f"image with reference {name} was found but its platform ({has}) does not match the specified "
                f"platform ({platform})"
            )
        return record

    def list(
        self, filters: Filters, *, all: bool = False, shared_size: bool = False, manifests: bool = False
    ) -> list[dict[str, Any]]:
        """A row for each image that the filters keep, newest first."""
        wanted = listing.Listing(filters, all, shared_size)
        rows = listing.rows(self._images.all(), wanted, self.find, self._shelf.size_of)
        for row in rows if manifests else ():
            row["Manifests"] = self._manifests(self._images.get(Digest.parse(row["Id"])))
        return rows

    def usage(self) -> list[dict[str, Any]]:
        """Every top image with its shared size and its number of containers."""
        counts = self._shelf.container_counts()
        wanted = listing.Listing(Filters(), shared_size=True, containers=counts)
        return listing.rows(self._images.all(), wanted, self.find, self._shelf.size_of)

    def layers_size(self) -> int:
        """Bytes of all layers of all images, each once."""
        return sum(self._shelf.size_of(chain) for chain in self._shelf.chains())

    def inspect(self, name: str, *, manifests: bool = False, platform: Platform | None = None) -> dict[str, Any]:
        """All about one image."""
        record = self.find(name, platform)
        tagged = rfc3339(record.last_tagged) if record.last_tagged else ZERO
        body = view.inspect(record, self._driver_data(record), tagged)
        if record.manifest is not None:
            body["Descriptor"] = record.manifest.to_json()
        if manifests:
            body["Manifests"] = self._manifests(record)
        return body

    def history(self, name: str, *, platform: Platform | None = None) -> list[dict[str, Any]]:
        """The steps that made it, newest first."""
        record = self.find(name, platform)
        return view.history(record, self._shelf.size_of, self._shelf.parents(record))

    def tag(self, name: str, repository: str, tag: str) -> None:
        """Give an image one more name, taken from whichever had it."""
        reference = names.to_tag(repository, tag)
        self.give_name(self.find(name).id, reference)

    def give_name(self, image: Digest, reference: Reference) -> None:
        """Name an image and tell it."""
        self._images.tag(reference, image)
        self.publish("tag", image, reference.familiar())

    async def remove(
        self, name: str, *, force: bool = False, prune: bool = True, platform: Platform | None = None
    ) -> list[dict[str, str]]:
        """Take a name away, and the image with its last; what went, in order."""
        record = self.find(name, platform)
        return await self._disposal.perform(removal.plan(self._shelf, record.id, name, force=force, prune=prune))

    async def prune(self, filters: Filters) -> tuple[list[dict[str, str]], int]:
        """Remove what is unused; what went, and the bytes."""
        return await self._disposal.prune(filters)

    def publish(self, action: str, image: Digest, name: str) -> None:
        """Tell what happened to an image; its labels go along while it is here."""
        try:
            labels: Mapping[str, str] = view.labels_of(self._images.get(image))
        except NotFound:
            labels = {}
        self._events.publish("image", action, str(image), {**labels, "name": name})

    def _driver_data(self, record: ImageRecord) -> dict[str, Any]:
        """The directories of the top layer, for who looks at them on the host."""
        chain = record.config.chain_id
        if chain is None or not self._snapshots.exists(str(chain)):
            return {"Name": DRIVER_NAME, "Data": None}
        upper, lowers = self._snapshots.upper(str(chain)), self._snapshots.lowers(str(chain))
        data = {
            "UpperDir": str(upper),
            "MergedDir": str(upper.parent / "merged"),
            "WorkDir": str(upper.parent / "work"),
        }
        if lowers:
            data["LowerDir"] = ":".join(str(path) for path in lowers)
        return {"Name": DRIVER_NAME, "Data": data}

    def _manifests(self, record: ImageRecord) -> list[dict[str, Any]]:
        """The one manifest of an image that has one; images built here have none until they are pushed."""
        if record.manifest is None:
            return []
        unpacked = sum(self._shelf.size_of(chain) for chain in chain_ids(record.config.diff_ids))
        content = self._disposal.content_size(record)
        users = [use.container_id for use in self._shelf.uses(record.id)]
        return [
            {
                "ID": str(record.manifest.digest),
                "Descriptor": record.manifest.to_json(),
                "Available": True,
                "Size": {"Content": content, "Total": content + unpacked},
                "Kind": "image",
                "ImageData": {
                    "Platform": record.config.platform.to_json(),
                    "Containers": users,
                    "Size": {"Unpacked": unpacked},
                },
            }
        ]
