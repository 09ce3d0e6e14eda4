"""Images: which configs are images, what they are called, what blobs hold their layers.

An image is a config in the content store; its id is the config's digest; its layers are committed snapshots named by
chain IDs.  Owns: the tables images, tags, repo_digests, layer_blobs (drawn in db.py), and how a name finds an image.
A name of an index stands for several images, one a platform (indexes.py): it is bound to the one that suits this host.
Knows nothing of pulling or of Docker's rules for deletion: read engine/images/.
"""

from __future__ import annotations

import json
import re
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from sqlite3 import Row

from corten.errors import CortenError, Invalid, NotFound
from corten.spec.descriptor import ANNOTATION_REF_NAME, Descriptor
from corten.spec.digest import Digest
from corten.spec.image import ImageConfig, Index, chain_ids
from corten.spec.platform import Platform
from corten.spec.reference import Reference
from corten.store.content import Content, replace_file
from corten.store.db import Database
from corten.store.indexes import Indexes
from corten.store.snapshots.base import Snapshots

_HEX = re.compile(r"[0-9a-f]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image as it stands."""

    id: Digest
    config: ImageConfig
    size: int  # bytes of all layers' files
    references: tuple[Reference, ...]
    repo_digests: tuple[Reference, ...]
    parent: Digest | None
    manifest: Descriptor | None
    added: float
    last_tagged: float | None
    targets: tuple[Digest, ...] = ()  # the indexes that its names name

    @property
    def created(self) -> str:
        """When it was made, RFC 3339, as its config says."""
        return self.config.created


class Images:
    """The images of one data root."""

    def __init__(self, database: Database, content: Content, snapshots: Snapshots) -> None:
        self._database = database
        self._content = content
        self._snapshots = snapshots
        self.indexes = Indexes(database, content)
        # Configs never change under their digest: parsed once.
        self._configs: dict[Digest, ImageConfig] = {}
        self._index = b""
        self._write_index()

    def transaction(self) -> AbstractContextManager[None]:
        """All of what is done inside, or nothing.  Never await inside."""
        return self._database.transaction()

    def add(self, config: bytes, *, parent: Digest | None = None, manifest: Descriptor | None = None) -> Digest:
        """Make ``config`` an image.  Its layers must be committed snapshots.  One that is there learns what is new."""
        parsed = ImageConfig.parse(config)
        # A snapshot cannot lose its ancestors: where the last is, all are.
        chain = parsed.chain_id
        if chain is not None and not self._snapshots.exists(str(chain)):
            raise NotFound(f"layer {chain} of the image is not in the store")
        id = self._content.write(parsed.data)
        printed = json.dumps(manifest.to_json()) if manifest else None
        self._database.execute(
            "INSERT INTO images (id, parent, manifest, added) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " parent = coalesce(excluded.parent, parent), manifest = coalesce(excluded.manifest, manifest)",
            (str(id), str(parent) if parent else None, printed, time.time()),
        )
        if manifest is not None:
            self.indexes.record_manifest(manifest, id)
            self._write_index()
        return id

    def holds(self, id: Digest) -> bool:
        """Whether there is an image with this id."""
        return self._database.row("SELECT 1 FROM images WHERE id = ?", (str(id),)) is not None

    def get(self, id: Digest) -> ImageRecord:
        """The image with this id; NotFound if there is none."""
        row = self._database.row("SELECT * FROM images WHERE id = ?", (str(id),))
        if row is None:
            raise NotFound(f"No such image: {id}")
        return self._record(row)

    def find(self, name: str) -> ImageRecord:
        """By reference, by id, or by the beginning of an id that fits one image only."""
        by_id = name.removeprefix("sha256:")
        if len(by_id) == 64 and _HEX.match(by_id):
            return self._by_prefix(by_id, name)
        try:
            reference = Reference.parse(name)
        except Invalid:
            if name.startswith("sha256:") and _HEX.match(by_id):
                return self._by_prefix(by_id, name)
            raise
        found = self._by_reference(reference)
        if found is not None:
            return self.get(found)
        # docker: a name that no image has may still be a short id (image_inspect of "sha256:ab12" and of "ab12").
        if _HEX.match(by_id):
            return self._by_prefix(by_id, reference.familiar())
        raise NotFound(f"No such image: {reference.familiar()}")

    def find_for(self, name: str, platform: Platform) -> ImageRecord | None:
        """As find(), the image for ``platform``; None where the name has none that is here."""
        record = self.find(name)
        target = self.target_of(name)
        for index in (target,) if target is not None else record.targets:
            chosen = self.indexes.choose(index, platform)
            if chosen is not None:
                return self.get(chosen)
        return record if target is None and record.config.platform.matches(platform) else None

    def target_of(self, name: str) -> Digest | None:
        """The index that a reference names; None for an id, and where it names a single manifest."""
        try:
            reference = Reference.parse(name)
        except Invalid:
            return None
        if reference.digest is not None:
            is_index = self._by_reference(reference) is not None and self.indexes.get(reference.digest) is not None
            return reference.digest if is_index else None
        row = self._database.row("SELECT target FROM tags WHERE name = ? AND tag = ?", (reference.name, reference.tag))
        target = Digest.parse(row["target"]) if row is not None and row["target"] else None
        return target if target is not None and self.indexes.get(target) is not None else None

    def held(self) -> dict[Digest, list[Reference]]:
        """The images that the index of a name holds beside the one that the name is bound to, with these names."""
        found: dict[Digest, list[Reference]] = {}
        for name, target, bound in self._names():
            for image in self.indexes.images(target) - {bound}:
                found.setdefault(image, []).append(Reference.parse(name))
        return found

    def holders(self, image: Digest) -> list[Reference]:
        """The names, bound to other images, whose index holds this one."""
        # Most images, those of build steps, were never given a manifest.
        return self.held().get(image, []) if self.indexes.has_manifest(image) else []

    def names_alone(self, image: Digest) -> list[Reference]:
        """The names of ``image`` that could not be bound to another of the same index: there is none here."""
        record = self.get(image)
        shared = {
            Reference.parse(name)
            for name, target, bound in self._names()
            if bound == image and self.indexes.images(target) - {image}
        }
        return [name for name in (*record.references, *record.repo_digests) if name not in shared]

    def targets(self) -> set[Digest]:
        """Every index that some tag names, and every digest that a repository knows an image by."""
        return {target for _, target, _ in self._names()}

    def _names(self) -> list[tuple[str, Digest, Digest]]:
        rows = self._database.rows(
            "SELECT name || ':' || tag AS name, target, image FROM tags WHERE target IS NOT NULL"
            " UNION ALL SELECT name || '@' || digest, digest, image FROM repo_digests"
        )
        return [(row["name"], Digest.parse(row["target"]), Digest.parse(row["image"])) for row in rows]

    def hand_over(self, image: Digest) -> None:
        """Bind the names of ``image`` to another of the same index, where one is here."""
        with self._database.transaction():
            for table, column in (("tags", "target"), ("repo_digests", "digest")):
                rows = self._database.rows(
                    f"SELECT DISTINCT {column} AS target FROM {table} WHERE image = ? AND {column} IS NOT NULL",
                    (str(image),),
                )
                for row in rows:
                    heirs = sorted(self.indexes.images(Digest.parse(row["target"])) - {image}, key=str)
                    if heirs:
                        self._database.execute(
                            f"UPDATE {table} SET image = ? WHERE image = ? AND {column} = ?",
                            (str(heirs[0]), str(image), row["target"]),
                        )

    def all(self) -> list[ImageRecord]:
        """Every image, the last added first."""
        return [self._record(row) for row in self._database.rows("SELECT * FROM images ORDER BY added DESC, id")]

    def ids(self) -> list[Digest]:
        """Every image's id."""
        return [Digest.parse(row["id"]) for row in self._database.rows("SELECT id FROM images ORDER BY id")]

    def children(self, id: Digest) -> list[Digest]:
        """The images that were built on this one."""
        rows = self._database.rows("SELECT id FROM images WHERE parent = ? ORDER BY added, id", (str(id),))
        return [Digest.parse(row["id"]) for row in rows]

    def delete(self, id: Digest) -> None:
        """Forget the image and its names.  Its content and snapshots go with the next collection."""
        if not self._database.execute("DELETE FROM images WHERE id = ?", (str(id),)):
            raise NotFound(f"No such image: {id}")
        self._configs.pop(id, None)
        self._write_index()

    def config(self, id: Digest) -> ImageConfig:
        """The config with this digest."""
        config = self._configs.get(id)
        if config is None:
            config = self._configs[id] = ImageConfig.parse(self._content.read(id))
        return config

    def tag(
        self, reference: Reference, id: Digest, digest: Digest | None = None, *, target: Digest | None = None
    ) -> Digest | None:
        """Call image ``id`` so, and note the manifest's ``digest`` under the name; the image that lost it, if any.

        Where the digest (or ``target``) is an index, the name is bound to that image of it which suits this host.
        """
        if reference.tag is None:
            known = reference.digest or digest
            if known is None:
                raise Invalid(f"refusing to tag {reference.familiar()}: it has no tag")
            self.record_digest(reference, known, id)
            return None
        if target is None and digest is not None and self.indexes.get(digest) is not None:
            target = digest
        if target is not None:
            id = self.indexes.choose(target) or id
        with self._database.transaction():
            self._require(id)
            row = self._database.row(
                "SELECT image FROM tags WHERE name = ? AND tag = ?", (reference.name, reference.tag)
            )
            self._database.execute(
                "INSERT OR REPLACE INTO tags (name, tag, image, target) VALUES (?, ?, ?, ?)",
                (reference.name, reference.tag, str(id), str(target) if target else None),
            )
            self._database.execute("UPDATE images SET last_tagged = ? WHERE id = ?", (time.time(), str(id)))
            if digest is not None:
                self.record_digest(reference, digest, id)
        self._write_index()
        before = Digest.parse(row["image"]) if row else None
        return before if before != id else None

    def untag(self, reference: Reference) -> bool:
        """Take the name (or the digest under the name) away; was it there?"""
        if reference.digest is not None:
            return bool(
                self._database.execute(
                    "DELETE FROM repo_digests WHERE name = ? AND digest = ?", (reference.name, str(reference.digest))
                )
            )
        sql = "DELETE FROM tags WHERE name = ? AND tag = ?"
        gone = self._database.execute(sql, (reference.name, reference.tag or ""))
        self._write_index()
        return bool(gone)

    def record_digest(self, reference: Reference, digest: Digest, id: Digest) -> None:
        """Note that the repository of ``reference`` knows image ``id`` by ``digest``, of a manifest or an index."""
        id = self.indexes.choose(digest) or id
        with self._database.transaction():
            self._require(id)
            self._database.execute(
                "INSERT OR REPLACE INTO repo_digests (name, digest, image) VALUES (?, ?, ?)",
                (reference.name, str(digest), str(id)),
            )

    def layer_blob(self, diff_id: Digest, media_type: str | None = None) -> Descriptor | None:
        """A blob here that holds this layer, the last recorded first; of one ``media_type`` only, if given."""
        rows = self._database.rows(
            "SELECT digest, media_type, size FROM layer_blobs WHERE diff_id = ? ORDER BY at DESC", (str(diff_id),)
        )
        for row in rows:
            digest = Digest.parse(row["digest"])
            if (media_type is None or row["media_type"] == media_type) and self._content.has(digest):
                return Descriptor(row["media_type"], digest, row["size"])
        return None

    def record_layer_blob(self, diff_id: Digest, descriptor: Descriptor) -> None:
        """Note that the blob ``descriptor`` holds this layer."""
        self._database.execute(
            "INSERT OR REPLACE INTO layer_blobs (diff_id, digest, media_type, size, at) VALUES (?, ?, ?, ?, ?)",
            (str(diff_id), str(descriptor.digest), descriptor.media_type, descriptor.size, time.time()),
        )

    def layer_of_blob(self, digest: Digest) -> Digest | None:
        """The diff ID of the layer that a blob was seen to hold, even if the blob is gone."""
        row = self._database.row("SELECT diff_id FROM layer_blobs WHERE digest = ?", (str(digest),))
        return Digest.parse(row["diff_id"]) if row else None

    def forget_layer_blob(self, digest: Digest) -> None:
        """The blob is gone and its layer too."""
        self._database.execute("DELETE FROM layer_blobs WHERE digest = ?", (str(digest),))

    def _require(self, id: Digest) -> None:
        if self._database.row("SELECT id FROM images WHERE id = ?", (str(id),)) is None:
            raise NotFound(f"No such image: {id}")

    def _write_index(self) -> None:
        """Tell other tools, in the layout's index.json, which manifests are here and what they are called."""
        rows = self._database.rows(
            "SELECT tags.name, tags.tag, tags.target, images.manifest FROM tags JOIN images ON images.id = tags.image"
            " WHERE images.manifest IS NOT NULL OR tags.target IS NOT NULL ORDER BY tags.name, tags.tag"
        )
        manifests = []
        for row in rows:
            manifest = self.indexes.descriptor(Digest.parse(row["target"])) if row["target"] else None
            if manifest is None and row["manifest"]:
                manifest = Descriptor.parse(json.loads(row["manifest"]))
            if manifest is None:
                continue
            name = {ANNOTATION_REF_NAME: f"{row['name']}:{row['tag']}"}
            manifests.append(replace(manifest, annotations={**manifest.annotations, **name}))
        data = Index(tuple(manifests)).to_bytes()
        if data != self._index:
            replace_file(self._content.root / "index.json", data)
            self._index = data

    def _by_reference(self, reference: Reference) -> Digest | None:
        if reference.digest is not None:
            row = self._database.row(
                "SELECT image FROM repo_digests WHERE name = ? AND digest = ?", (reference.name, str(reference.digest))
            )
        else:
            row = self._database.row(
                "SELECT image FROM tags WHERE name = ? AND tag = ?", (reference.name, reference.tag)
            )
        return Digest.parse(row["image"]) if row else None

    def _by_prefix(self, prefix: str, printed: str) -> ImageRecord:
        rows = self._database.rows(
            "SELECT * FROM images WHERE id >= ? AND id < ? LIMIT 2", (f"sha256:{prefix}", f"sha256:{prefix}g")
        )
        if not rows:
            # docker (containerd store): a platform's image goes by the digest of its manifest, as lists print it.
            rows = self._database.rows(
                "SELECT DISTINCT images.* FROM images JOIN manifests ON manifests.image = images.id"
                " WHERE digest >= ? AND digest < ? LIMIT 2",
                (f"sha256:{prefix}", f"sha256:{prefix}g"),
            )
        if len(rows) != 1:
            raise NotFound(f"No such image: {printed}")
        return self._record(rows[0])

    def _record(self, row: Row) -> ImageRecord:
        id = Digest.parse(row["id"])
        config = self.config(id)
        tags = self._database.rows(
            "SELECT name, tag, target FROM tags WHERE image = ? ORDER BY name, tag", (row["id"],)
        )
        digests = self._database.rows(
            "SELECT name, digest FROM repo_digests WHERE image = ? ORDER BY name, digest", (row["id"],)
        )
        return ImageRecord(
            id=id,
            config=config,
            size=self._size(config),
            references=tuple(Reference.parse(f"{item['name']}:{item['tag']}") for item in tags),
            repo_digests=tuple(Reference.parse(f"{item['name']}@{item['digest']}") for item in digests),
            parent=Digest.parse(row["parent"]) if row["parent"] else None,
            manifest=Descriptor.parse(json.loads(row["manifest"])) if row["manifest"] else None,
            added=row["added"],
            last_tagged=row["last_tagged"],
            targets=self._targets([item["target"] for item in tags] + [item["digest"] for item in digests]),
        )

    def _targets(self, digests: list[str | None]) -> tuple[Digest, ...]:
        found = (Digest.parse(text) for text in dict.fromkeys(digests) if text)
        return tuple(digest for digest in found if self.indexes.get(digest) is not None)

    def _size(self, config: ImageConfig) -> int:
        total = 0
        for chain in chain_ids(config.diff_ids):
            try:
                total += self._snapshots.usage(str(chain)).size
            except CortenError:
                continue  # a damaged store is check.py's to report; listing images must not fail for it
        return total
