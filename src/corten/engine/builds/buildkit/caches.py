"""``--cache-from`` and ``--cache-to`` of BuildKit's clients: at a registry, or in a directory of the client.

What travels is ours (../travel.py), as an artifact of one layer.  A registry's name may as well be an image's, which
the builder reads itself.  Owns: fetching and bringing, and what is told of it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from corten.buildkit.board import Board
from corten.buildkit.contentstore import ClientStore
from corten.buildkit.messages.shared import CacheEntry
from corten.buildkit.sessions import Session
from corten.engine.builds.classic import Trip
from corten.engine.builds.ports import Keys
from corten.engine.builds.travel import EMPTY, Travels, is_cache, stream
from corten.errors import CortenError, Invalid
from corten.spec.digest import Digest
from corten.spec.image import Manifest
from corten.spec.reference import Reference

MANIFEST_LIMIT = 1 << 20


class Caches:
    """Brings caches in and out."""

    def __init__(self, travels: Travels) -> None:
        self._travels = travels

    async def bring(
        self, entries: Sequence[CacheEntry], session: Session, keys: Keys, trip: Trip, workspace: Path, board: Board
    ) -> tuple[str, ...]:
        """Make them known to one build; the names that turned out to be images.

        docker: a cache that cannot be had is told of, and nothing more.
        """
        images: list[str] = []
        for number, entry in enumerate(entries):
            where = entry.attrs.get("ref") or entry.attrs.get("src", "")
            with board.step(f"importing cache manifest from {where}") as step:
                try:
                    if entry.type == "registry":
                        reference = Reference.parse(where)
                        tar = await self._travels.pull(reference, await keys(reference.registry), workspace)
                        images += [where] if tar is None else []
                    else:
                        tar = await self._fetch(ClientStore(session, where), entry.attrs.get("digest", ""), workspace)
                    if tar is not None:
                        await self._travels.read(tar, trip.ledger, workspace / f"cache-{number}")
                except CortenError as failure:
                    step.log(f"{failure.message}\n")
        return tuple(images)

    async def _fetch(self, store: ClientStore, digest: str, workspace: Path) -> Path:
        data = b""
        async for piece in store.read(digest):
            data += piece
            if len(data) > MANIFEST_LIMIT:
                raise Invalid("this is no build cache")
        manifest = Manifest.parse(data)
        if not is_cache(manifest):
            raise Invalid("this is no build cache of Corten's")
        with (workspace / "cache.tar").open("wb") as file:
            async for piece in store.read(str(manifest.layers[0].digest)):
                file.write(piece)
        return workspace / "cache.tar"

    async def take_away(
        self, entries: Sequence[CacheEntry], session: Session, keys: Keys, trip: Trip, workspace: Path, board: Board
    ) -> dict[str, str]:
        """Write each; what the client needs to know of them."""
        told: dict[str, str] = {}
        for number, entry in enumerate(entries):
            tar = workspace / f"export-{number}.tar"
            if entry.type == "registry":
                reference = Reference.parse(entry.attrs.get("ref", ""))
                with board.step("exporting cache to registry") as step:
                    await self._travels.write(trip.ledger, trip.began, tar)
                    digest = await self._travels.push(tar, reference, await keys(reference.registry))
                    step.note(f"writing cache manifest {digest}")
            elif entry.type == "local":
                with board.step("exporting cache to client directory") as step:
                    await self._travels.write(trip.ledger, trip.began, tar)
                    manifest = await self._travels.manifest(tar)
                    await _bring(ClientStore(session, entry.attrs.get("dest", "")), manifest, tar)
                    told["cache.manifest"] = _described(manifest)
                    step.note(f"writing cache manifest {Digest.of(manifest.to_bytes())}")
        return told


async def _bring(store: ClientStore, manifest: Manifest, tar: Path) -> None:
    layer, data = manifest.layers[0], manifest.to_bytes()
    await store.write(str(layer.digest), layer.size, stream(tar))
    for small in (EMPTY, data):
        await store.write(str(Digest.of(small)), len(small), _one(small))


async def _one(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _described(manifest: Manifest) -> str:
    data = manifest.to_bytes()
    return json.dumps({"mediaType": manifest.media_type, "digest": str(Digest.of(data)), "size": len(data)})
