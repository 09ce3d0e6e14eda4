"""``corten manifest``: manifests as a registry has them, and lists of them put there.

The list itself is made on the client; the registry is the daemon's to reach, for it has the mirrors, certificates and
insecure registries (docs/registries.md).  Owns: reading, and the order of a push.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from corten.distribution.client import Distribution
from corten.distribution.model import Credentials, Fetched
from corten.engine.images.ground import ImageGround
from corten.errors import Invalid, NotFound
from corten.spec import media_types
from corten.spec.descriptor import Descriptor
from corten.spec.image import ImageConfig, Index, Manifest
from corten.spec.reference import Reference

KINDS = (media_types.OCI_INDEX, media_types.DOCKER_INDEX)


class RemoteManifests:
    """Reads and puts manifests."""

    def __init__(self, ground: ImageGround) -> None:
        self._ground = ground

    async def inspect(self, name: str, credentials: Credentials, *, insecure: bool, verbose: bool) -> dict[str, Any]:
        """What a name names: its document, and for each image that (with ``verbose``) it lists."""
        reference = Reference.parse(name)
        async with self._reach(reference, insecure) as distribution:
            fetched = await distribution.fetch(reference, credentials)
            if not media_types.is_index(fetched.descriptor.media_type):
                return await _entry(distribution, reference, str(reference.familiar()), fetched, credentials, None)
            listed = fetched.index.manifests if verbose else ()
            entries = [
                await _entry(
                    distribution,
                    reference,
                    f"{reference.familiar()}@{item.digest}",
                    await distribution.fetch(reference, credentials, item.digest),
                    credentials,
                    item,
                )
                for item in listed
            ]
        return {**_document(reference.familiar(), fetched.descriptor, fetched.data), "Manifests": entries}

    async def push(
        self, name: str, body: Mapping[str, Any], credentials: Credentials, *, insecure: bool
    ) -> dict[str, Any]:
        """Put every manifest of a list beside it, then the list; ``Sources`` says where each is now."""
        reference = Reference.parse(name)
        data, media_type, sources = _parse(body)
        index = Index.parse(data)
        if len(sources) != len(index.manifests):
            raise Invalid("the list needs a source for each manifest")
        pushed = []
        async with self._reach(reference, insecure) as distribution:
            for item, source in zip(index.manifests, sources, strict=True):
                if source.registry != reference.registry:
                    raise Invalid(
                        "cannot use source images from a different registry than the target image: "
                        f"{source.registry} != {reference.registry}"
                    )
                await self._bring(distribution, reference, source, item, credentials)
                pushed.append(str(item.digest))
            put = await distribution.put_manifest(reference, data, media_type, credentials)
        return {"Digest": str(put.digest), "Pushed": pushed}

    async def _bring(
        self,
        distribution: Distribution,
        reference: Reference,
        source: Reference,
        item: Descriptor,
        credentials: Credentials,
    ) -> None:
        """One manifest with its blobs into the repository of the list: mounted, else by way of here."""
        fetched = await distribution.fetch(source, credentials, item.digest)
        manifest = Manifest.parse(fetched.data)
        target, blobs = reference.with_tag(None), [manifest.config, *manifest.layers]
        content, kind = self._ground.content, fetched.descriptor.media_type

        async def push() -> None:
            await distribution.push(
                target, fetched.data, kind, blobs, content, credentials=credentials, mount_from=[source.repository]
            )

        try:
            await push()
        except NotFound:
            for blob in blobs:
                await distribution.bring_blob(source, blob, content, credentials)
            await push()

    @contextlib.asynccontextmanager
    async def _reach(self, reference: Reference, insecure: bool) -> AsyncIterator[Distribution]:
        """The registry client; for one command it may take this registry for an insecure one."""
        if not insecure:
            yield self._ground.distribution
            return
        distribution = self._ground.distribution.insecurely(reference.registry)
        try:
            yield distribution
        finally:
            await distribution.close()


async def _entry(
    distribution: Distribution,
    reference: Reference,
    shown: str,
    fetched: Fetched,
    credentials: Credentials,
    listed: Descriptor | None,
) -> dict[str, Any]:
    """A manifest with its platform: the list's word, else that of its configuration."""
    platform = listed.platform.to_json() if listed is not None and listed.platform is not None else None
    if platform is None:
        config = Manifest.parse(fetched.data).config
        found = ImageConfig.parse(await distribution.fetch_blob(reference, config, credentials)).platform
        platform = found.to_json()
    entry = _document(shown, fetched.descriptor, fetched.data)
    entry["Descriptor"]["platform"] = platform
    return entry


def _document(shown: str, descriptor: Descriptor, data: bytes) -> dict[str, Any]:
    return {"Ref": shown, "Descriptor": descriptor.to_json(), "Raw": base64.b64encode(data).decode()}


def _parse(body: Mapping[str, Any]) -> tuple[bytes, str, Sequence[Reference]]:
    media_type, sources = str(body.get("MediaType", "")), body.get("Sources")
    if media_type not in KINDS or not isinstance(sources, list):
        raise Invalid("a list of manifests has MediaType, Data and Sources")
    try:
        data = base64.b64decode(str(body.get("Data", "")), validate=True)
    except ValueError as error:
        raise Invalid(f"invalid Data: {error}") from None
    return data, media_type, [Reference.parse(str(source)) for source in sources]
