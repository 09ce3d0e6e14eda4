"""Caches that travel: what --cache-to writes and --cache-from reads, at a registry or in a directory of the client.

    corten-cache.json    {"format": 1, "records": {key: record}, "mounts": [name]}
    images.tar           the layers, as ``image save`` writes them
    mounts/<name>.tar    the directory of a cache mount

One tar of these; at a registry it is the only layer of an artifact.  What is imported counts for one build: its records
are not kept, its layers only as far as the build uses them, and it fills no cache mount that is here already.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tarfile
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

from corten.build.ports import Cache
from corten.distribution.model import Credentials
from corten.engine.images.ground import ImageGround
from corten.errors import CortenError, Invalid
from corten.spec import media_types
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.image import Manifest
from corten.spec.platform import host
from corten.spec.reference import Reference
from corten.store.archives import save as archives
from corten.store.archives.load import load_image
from corten.store.layers.apply import Whiteouts, apply
from corten.store.layers.pack import pack

CONFIG_TYPE = "application/vnd.corten.buildcache.config.v1+json"
LAYER_TYPE = "application/vnd.corten.buildcache.layer.v1.tar"
EMPTY = b"{}"
INDEX, IMAGES = "corten-cache.json", "images.tar"
INDEX_LIMIT = 64 << 20
_NAME = re.compile(r"[0-9a-f]{64}\Z")


class Ledger:
    """The Cache port over another one: adds what was imported, notes what this build used and made."""

    def __init__(self) -> None:
        self.imported: dict[str, Mapping[str, Any]] = {}
        self.noted: dict[str, Mapping[str, Any]] = {}
        self._below: Cache | None = None

    def over(self, below: Cache) -> Ledger:
        """Take another cache below this one."""
        self._below = below
        return self

    def lookup(self, key: str) -> Mapping[str, Any] | None:
        """What is known under a key, here or elsewhere."""
        found = self._below.lookup(key) if self._below is not None else None
        if found is None:
            found = self.imported.get(key)
        self._note(key, found)
        return found

    def store(self, key: str, record: Mapping[str, Any]) -> None:
        """Remember."""
        if self._below is not None:
            self._below.store(key, record)
        self._note(key, record)

    def _note(self, key: str, record: Mapping[str, Any] | None) -> None:
        if record is not None and "image" in record:
            self.noted[key] = record


class Travels:
    """Packs and unpacks."""

    def __init__(self, ground: ImageGround, mounts: Path) -> None:
        self._ground = ground
        self._mounts = mounts

    # -- away ----------------------------------------------------------------------------------------------------

    async def write(self, ledger: Ledger, since: float, out: Path) -> None:
        """The tar of what the build since then used and made."""
        images = list(self._images(ledger))
        with self._ground.scratch() as scratch:
            if images:
                saver = archives.Saver(
                    self._ground.layout,
                    self._ground.content,
                    self._ground.images,
                    self._ground.snapshots,
                    self._ground.workers,
                )
                await saver.save(images, scratch / IMAGES)
            await asyncio.to_thread(self._gather, ledger, since, scratch, out)

    def _images(self, ledger: Ledger) -> Iterable[archives.Saved]:
        """Of the images of all steps those that no other one continues."""
        records = {}
        for record in ledger.noted.values():
            try:
                found = self._ground.images.get(Digest.parse(str(record["image"])))
            except CortenError:
                continue
            records[found.config.diff_ids] = found
        for diff_ids, found in records.items():
            if diff_ids and not any(other != diff_ids and other[: len(diff_ids)] == diff_ids for other in records):
                yield archives.Saved(found)

    def _gather(self, ledger: Ledger, since: float, scratch: Path, out: Path) -> None:
        names = [path.name for path in sorted(self._mounts.iterdir()) if path.stat().st_mtime >= since - 1]
        body = {"format": 1, "records": dict(sorted(ledger.noted.items())), "mounts": names}
        (scratch / INDEX).write_text(json.dumps(body, sort_keys=True))
        with tarfile.open(out, "w") as archive:
            archive.add(scratch / INDEX, INDEX)
            if (scratch / IMAGES).exists():
                archive.add(scratch / IMAGES, IMAGES)
            for name in names:
                if not (self._mounts / name / "0").is_dir():
                    continue  # a mount that each step has for itself
                with (scratch / name).open("wb") as file:
                    pack(self._mounts / name / "0", file.write)
                archive.add(scratch / name, f"mounts/{name}.tar")

    async def manifest(self, tar: Path) -> Manifest:
        """The tar as the only layer of an artifact, whose configuration is empty."""
        layer = Descriptor(LAYER_TYPE, await self._ground.workers.hash(tar), tar.stat().st_size)
        config = Descriptor(CONFIG_TYPE, Digest.of(EMPTY), len(EMPTY))
        return Manifest(config=config, layers=(layer,), media_type=media_types.OCI_MANIFEST)

    async def push(self, tar: Path, reference: Reference, credentials: Credentials) -> Digest:
        """To a registry, under a name that then is no image."""
        content, manifest = self._ground.content, await self.manifest(tar)
        content.write(EMPTY)
        content.adopt(tar, manifest.layers[0].digest)
        pushed = await self._ground.distribution.push(
            reference,
            manifest.to_bytes(),
            manifest.media_type,
            [*manifest.layers, manifest.config],
            content,
            credentials=credentials,
        )
        return pushed.digest

    # -- back ----------------------------------------------------------------------------------------------------

    async def pull(self, reference: Reference, credentials: Credentials, scratch: Path) -> Path | None:
        """The tar from a registry; None where the name is an image's."""
        resolved = await self._ground.distribution.fetch_manifest(reference, credentials, host())
        if not is_cache(Manifest.parse(resolved.data)):
            return None

        async def landed(index: int, blob: Descriptor) -> None:
            await asyncio.to_thread(shutil.copyfile, self._ground.content.path(blob.digest), scratch / "cache.tar")

        await self._ground.distribution.pull(
            reference, self._ground.content, platform=host(), credentials=credentials, on_layer=landed
        )
        return scratch / "cache.tar"

    async def read(self, tar: Path, ledger: Ledger, scratch: Path) -> None:
        """Make the layers known and fill the cache mounts.  Raises Invalid for what is no such tar."""
        scratch.mkdir(mode=0o700)
        body = await asyncio.to_thread(_unpack, tar, scratch)
        if (scratch / IMAGES).exists():
            for archived in await self._ground.workers.read_archive(scratch / IMAGES, scratch, None):
                await load_image(archived, self._ground.unpacker, self._ground.images)
        ledger.imported.update(body["records"])
        for name in body["mounts"]:
            await asyncio.to_thread(self._fill, scratch / f"{name}.tar", name)

    def _fill(self, tar: Path, name: str) -> None:
        place = self._mounts / name / "0"
        if place.exists() or not tar.exists():
            return
        fresh = self._mounts / name / "0.new-import"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        apply(tar, fresh, whiteouts=Whiteouts.PLAIN)
        fresh.rename(place)


def is_cache(manifest: Manifest) -> bool:
    """Is it one of ours?"""
    return len(manifest.layers) == 1 and manifest.layers[0].media_type == LAYER_TYPE


def _unpack(tar: Path, scratch: Path) -> dict[str, Any]:
    """Known members only, each into a file of our own naming."""
    try:
        with tarfile.open(tar, "r:") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                kept = name.removeprefix("mounts/")
                if not member.isfile() or not (name in (INDEX, IMAGES) or _NAME.match(kept.removesuffix(".tar"))):
                    continue
                source = archive.extractfile(member)
                assert source is not None  # it is a file
                with (scratch / kept).open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
        if (scratch / INDEX).stat().st_size > INDEX_LIMIT:
            raise Invalid("the build cache's index is too large")
        return _checked(json.loads((scratch / INDEX).read_text()))
    except (tarfile.TarError, ValueError, FileNotFoundError) as error:
        raise Invalid(f"this is no build cache: {error}") from None


def _checked(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict) or body.get("format") != 1:
        raise ValueError("unknown format")
    records, mounts = body.get("records"), body.get("mounts")
    if not isinstance(records, dict) or not isinstance(mounts, list):
        raise ValueError("no records")
    for record in records.values():
        texts = isinstance(record, dict) and [record.get(name, "") for name in ("image", "created", "diff_id", "chain")]
        if (
            not texts
            or not all(isinstance(text, str) for text in texts)
            or ("chain" in record) != ("diff_id" in record)
        ):
            raise ValueError("a record is not one")
        if not isinstance(record.get("size", 0), int):
            raise ValueError("a size is no number")
        for name in ("diff_id", "chain"):
            if name in record:
                Digest.parse(record[name])
    return {"records": records, "mounts": [name for name in mounts if isinstance(name, str) and _NAME.match(name)]}


async def stream(path: Path) -> AsyncIterator[bytes]:
    """A file, piece by piece."""
    with path.open("rb") as file:
        while data := await asyncio.to_thread(file.read, 1 << 20):
            yield data
