"""Distribution: the registry client's operations.

Owns: the one object that the engine holds; each operation puts the parts together.
Read next: pull.py, push.py, manifests.py, transport.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from corten.distribution import search
from corten.distribution.download import Download
from corten.distribution.faults import login_fault, pull_fault, push_fault
from corten.distribution.hosts import Host, hosts_of
from corten.distribution.login import log_in
from corten.distribution.manifests import Manifests
from corten.distribution.model import (
    NOBODY,
    Content,
    Credentials,
    Fetched,
    Found,
    Have,
    Login,
    OnLayer,
    Progress,
    Pulled,
    RegistryConfig,
    Resolved,
    Silent,
)
from corten.distribution.pull import Pull
from corten.distribution.push import push_image
from corten.distribution.transport import Transport
from corten.distribution.upload import Upload
from corten.errors import CortenError, Unavailable
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.platform import Platform, host
from corten.spec.reference import DEFAULT_REGISTRY, Reference

_SILENT = Silent()


class Distribution:
    """A client of any number of registries.  Close it."""

    def __init__(self, config: RegistryConfig | None = None) -> None:
        self._config = config or RegistryConfig()
        self._transport = Transport(self._config)
        self._downloads = asyncio.Semaphore(self._config.parallel_downloads)
        self._uploads = asyncio.Semaphore(self._config.parallel_uploads)
        self._under_way: dict[Digest, asyncio.Lock] = {}

    def reconfigure(self, config: RegistryConfig) -> None:
        """Reach registries by other rules from the next operation on."""
        self._config = config
        self._downloads = asyncio.Semaphore(config.parallel_downloads)
        self._uploads = asyncio.Semaphore(config.parallel_uploads)

    def insecurely(self, registry: str) -> Distribution:
        """Another client that takes one more registry for an insecure one.  Close it."""
        return Distribution(replace(self._config, insecure=self._config.insecure | {registry}))

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def resolve(self, reference: Reference, credentials: Credentials = NOBODY) -> Descriptor:
        """What the reference names at its registry now."""
        try:
            return await self._manifests(reference, credentials).resolve()
        except CortenError as error:
            raise pull_fault(error, reference) from error

    async def fetch(
        self, reference: Reference, credentials: Credentials = NOBODY, digest: Digest | None = None
    ) -> Fetched:
        """The manifest or index as it is, for inspection."""
        try:
            return await self._manifests(reference, credentials).fetch(digest)
        except CortenError as error:
            raise pull_fault(error, reference) from error

    async def fetch_blob(
        self, reference: Reference, blob: Descriptor, credentials: Credentials = NOBODY, *, limit: int = 4 << 20
    ) -> bytes:
        """A small blob (a config), verified."""
        try:
            return await self._manifests(reference, credentials).blob(blob, limit)
        except CortenError as error:
            raise pull_fault(error, reference) from error

    async def bring_blob(
        self, reference: Reference, blob: Descriptor, content: Content, credentials: Credentials = NOBODY
    ) -> None:
        """A blob of any size into ``content``."""
        hosts = hosts_of(reference.registry, self._config)
        repository = reference.repository
        try:
            if not content.has(blob.digest):
                download = Download(
                    self._transport, self._config, hosts, repository, credentials, blob, content, _SILENT
                )
                await download.run()
        except CortenError as error:
            raise pull_fault(error, reference) from error

    async def fetch_manifest(
        self,
        reference: Reference,
        credentials: Credentials = NOBODY,
        platform: Platform | None = None,
        content: Content | None = None,
    ) -> Resolved:
        """The manifest for a platform (the host's by default)."""
        try:
            return await self._manifests(reference, credentials).fetch_platform(platform or host(), content)
        except CortenError as error:
            raise pull_fault(error, reference) from error

    async def put_manifest(
        self, reference: Reference, data: bytes, media_type: str, credentials: Credentials = NOBODY
    ) -> Descriptor:
        """Put a manifest or index whose parts are there."""
        try:
            manifests = self._manifests(reference, credentials, push=True)
            return await manifests.put(data, media_type, reference.tag or str(Digest.of(data)))
        except CortenError as error:
            raise push_fault(error, reference) from error

    async def pull(
        self,
        reference: Reference,
        content: Content,
        *,
        platform: Platform | None = None,
        credentials: Credentials = NOBODY,
        progress: Progress = _SILENT,
        on_layer: OnLayer | None = None,
        have: Have | None = None,
    ) -> Pulled:
        """Bring an image's config and layers into ``content``."""
        try:
            resolved = await self._manifests(reference, credentials).fetch_platform(platform or host(), content)
            return await self.pull_resolved(
                reference, resolved, content, credentials=credentials, progress=progress, on_layer=on_layer, have=have
            )
        except CortenError as error:
            raise pull_fault(error, reference) from error

    async def pull_resolved(
        self,
        reference: Reference,
        resolved: Resolved,
        content: Content,
        *,
        credentials: Credentials = NOBODY,
        progress: Progress = _SILENT,
        on_layer: OnLayer | None = None,
        have: Have | None = None,
    ) -> Pulled:
        """The second half of ``pull``, for a caller who looked at the manifest first."""
        hosts = hosts_of(reference.registry, self._config)

        def make(blob: Descriptor, to: Progress) -> Download:
            return Download(self._transport, self._config, hosts, reference.repository, credentials, blob, content, to)

        try:
            pull = Pull(make, content, progress, self._downloads, self._under_way)
            return await pull.run(resolved, on_layer, have)
        except CortenError as error:
            raise pull_fault(error, reference) from error

    async def push(
        self,
        reference: Reference,
        manifest: bytes,
        media_type: str,
        blobs: Sequence[Descriptor],
        content: Content,
        *,
        credentials: Credentials = NOBODY,
        progress: Progress = _SILENT,
        mount_from: Sequence[str] = (),
    ) -> Descriptor:
        """Bring blobs and then the manifest to the registry.  ``mount_from`` names its repositories that have them."""
        try:
            way = await self._way_to_push(reference, credentials)

            def make(blob: Descriptor) -> Upload:
                return Upload(
                    self._transport,
                    self._config,
                    way,
                    reference.repository,
                    credentials,
                    blob,
                    content,
                    progress,
                    mount_from,
                )

            await push_image(make, blobs, progress, self._uploads)
            manifests = Manifests(self._transport, [way], reference, credentials)
            return await manifests.put(manifest, media_type, reference.tag or str(Digest.of(manifest)))
        except CortenError as error:
            raise push_fault(error, reference) from error

    async def tags(self, reference: Reference, credentials: Credentials = NOBODY) -> list[str]:
        """All tags of a repository."""
        try:
            return await self._manifests(reference, credentials).tags()
        except CortenError as error:
            raise pull_fault(error, reference) from error

    async def delete(self, reference: Reference, credentials: Credentials = NOBODY) -> None:
        """Delete a tag, or a manifest by its digest, at the registry."""
        try:
            way = await self._way_to_push(reference, credentials)
            name = str(reference.digest or reference.tag)
            await Manifests(self._transport, [way], reference, credentials).delete(name)
        except CortenError as error:
            raise push_fault(error, reference) from error

    async def login(self, registry: str, credentials: Credentials) -> Login:
        """Try credentials; raises Unauthorized when the registry does not take them."""
        failure: CortenError | None = None
        for way in hosts_of(registry, self._config, push=True):
            if not self._transport.speaks(way):
                continue
            try:
                return await log_in(self._transport, way, credentials)
            except Unavailable as error:  # nobody there speaks TLS, perhaps
                failure = error
            except CortenError as error:
                raise login_fault(error, f"{way.url}/v2/") from error
        assert failure is not None
        raise failure

    async def search(self, term: str, *, limit: int = 25, credentials: Credentials = NOBODY) -> list[Found]:
        """Repositories that a registry's index knows for ``term`` (``host/term`` for another than the hub)."""
        registry, _, rest = term.partition("/")
        if not rest or not ("." in registry or ":" in registry or registry == "localhost"):
            registry, rest = DEFAULT_REGISTRY, term
        ways = search.ways(registry, self._config)
        return await search.search(self._transport, ways, rest, limit, credentials)

    def _manifests(self, reference: Reference, credentials: Credentials, *, push: bool = False) -> Manifests:
        hosts = hosts_of(reference.registry, self._config, push=push)
        return Manifests(self._transport, hosts, reference, credentials)

    async def _way_to_push(self, reference: Reference, credentials: Credentials) -> Host:
        return await self._transport.way(hosts_of(reference.registry, self._config, push=True), credentials)
