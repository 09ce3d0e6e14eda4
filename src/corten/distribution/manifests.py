"""Manifests and indexes over the wire: resolve, fetch, choose a platform, put.

Owns: the verification of a manifest's digest, and the referrers tag for registries without the referrers API.
"""

from __future__ import annotations

from collections.abc import Sequence

from corten.distribution.faults import Answer
from corten.distribution.hosts import Host
from corten.distribution.model import Content, Credentials, Fetched, Resolved
from corten.distribution.transport import Request, Transport, first_of
from corten.errors import Invalid, NotFound, NotImplementedYet, Unavailable
from corten.spec import media_types
from corten.spec.canonical import parse_object
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.distribution import Endpoint, Kind, Scope, next_link, referrers_tag
from corten.spec.image import Index, Manifest
from corten.spec.platform import Platform
from corten.spec.reference import DEFAULT_REGISTRY, Reference

ACCEPT = ", ".join(
    [
        media_types.OCI_INDEX,
        media_types.DOCKER_INDEX,
        media_types.OCI_MANIFEST,
        media_types.DOCKER_MANIFEST,
        "application/vnd.docker.distribution.manifest.v1+prettyjws;q=0.1",
    ]
)
_SIZE_MAX = 16 << 20
_SCHEMA_1 = (media_types.DOCKER_MANIFEST_V1, media_types.DOCKER_MANIFEST_V1_SIGNED)


class Manifests:
    """The manifests of one repository, at the hosts that serve it."""

    def __init__(self, transport: Transport, hosts: Sequence[Host], reference: Reference, who: Credentials) -> None:
        self._transport = transport
        self._hosts = hosts
        self._reference = reference
        self._who = who

    async def resolve(self, *, told_why: bool = True) -> Descriptor:
        """What the reference names now."""

        async def ask(host: Host, who: Credentials) -> Descriptor:
            try:
                return await self._head(host, who)
            except Answer:
                if not told_why:
                    raise
                return (await self._get(host, who, self._name(), self._reference.digest)).descriptor

        return await first_of(self._hosts, self._transport, self._who, ask)

    async def fetch(self, digest: Digest | None = None, content: Content | None = None) -> Fetched:
        """The manifest or index that the reference (or ``digest`` of the same repository) names, verified.

        What ``content`` holds already is not fetched: only its digest is asked for, which pull limits do not count.
        """
        wanted = digest or self._reference.digest
        if content is not None and wanted is None:
            described = await self._described()
            if described is not None and content.has(described.digest):
                return _fetched(content.read(described.digest), described.media_type, described.digest)
            wanted = described.digest if described is not None else None
        if content is not None and wanted is not None and content.has(wanted):
            return _fetched(content.read(wanted), "", wanted)

        async def ask(host: Host, who: Credentials) -> Fetched:
            return await self._get(host, who, str(wanted) if wanted else self._name(), wanted)

        return await first_of(self._hosts, self._transport, self._who, ask)

    async def fetch_platform(self, platform: Platform, content: Content | None = None) -> Resolved:
        """The manifest for a platform, by way of the index where there is one."""
        fetched = await self.fetch(content=content)
        if not media_types.is_index(fetched.descriptor.media_type):
            return Resolved(fetched.descriptor, _manifest(fetched), fetched.data)
        chosen = fetched.index.select(platform)
        if chosen is None:
            raise NotFound(f"no matching manifest for {platform} in the manifest list entries")
        inner = await self.fetch(chosen.digest, content)
        if media_types.is_index(inner.descriptor.media_type):
            raise Invalid(f"invalid image index: {chosen.digest} is an index again")
        return Resolved(inner.descriptor, _manifest(inner), inner.data, fetched.descriptor, fetched.data)

    async def blob(self, blob: Descriptor, limit: int) -> bytes:
        """A small blob of the repository."""
        if blob.size > limit:
            raise Invalid(f"blob {blob.digest} has {blob.size} bytes: more than {limit}")

        async def ask(host: Host, who: Credentials) -> bytes:
            path = str(Endpoint(Kind.BLOB, self._reference.repository, str(blob.digest)))
            request = Request("GET", path, query=self._namespace(host), scopes=self._scopes("pull"))
            async with self._transport.request(host, request, who) as response:
                return await response.read()

        data = await first_of(self._hosts, self._transport, self._who, ask)
        if Digest.of(data, blob.digest.algorithm) != blob.digest:
            raise Invalid(f"blob {blob.digest}: the registry sent other bytes")
        return data

    async def put(self, data: bytes, media_type: str, name: str) -> Descriptor:
        """Put a manifest under a tag or its digest."""
        digest = Digest.of(data)
        host = self._hosts[-1]
        request = Request(
            "PUT",
            self._path(name),
            expect=(201, 202),
            headers={"Content-Type": media_type},
            body=lambda: data,
            scopes=self._scopes("pull", "push"),
            patient=True,
        )
        async with self._transport.request(host, request, self._who) as response:
            told = response.headers.get("Docker-Content-Digest")
            knows_subject = "OCI-Subject" in response.headers
        if told and told != str(digest):
            raise Invalid(f"the registry stored {told} in place of {digest}")
        descriptor = Descriptor(media_type, digest, len(data))
        body = parse_object(data, "manifest")
        if body.get("subject") and not knows_subject:
            await self._list_referrer(host, body, descriptor)
        return descriptor

    async def tags(self) -> list[str]:
        """All tags of the repository."""

        async def ask(host: Host, who: Credentials) -> list[str]:
            path: str | None = str(Endpoint(Kind.TAGS, self._reference.repository))
            found: list[str] = []
            while path:
                async with self._transport.request(
                    host, Request("GET", path, scopes=self._scopes("pull")), who
                ) as response:
                    body = parse_object(await response.read(), "list of tags")
                    link = next_link(response.headers.get("Link"))
                found += [str(tag) for tag in body.get("tags") or []]
                path = link if link and link.startswith("/") else None
            return found

        return await first_of(self._hosts, self._transport, self._who, ask)

    async def delete(self, name: str) -> None:
        """Delete a tag or a manifest."""
        request = Request("DELETE", self._path(name), expect=(202, 204), scopes=self._scopes("pull", "delete"))
        async with self._transport.request(self._hosts[-1], request, self._who):
            return

    async def _described(self) -> Descriptor | None:
        """The answer to HEAD; None where there is none: it has no body to tell why, GET shall."""
        try:
            return await self.resolve(told_why=False)
        except (Answer, Unavailable):
            return None

    async def _head(self, host: Host, who: Credentials) -> Descriptor:
        request = Request(
            "HEAD",
            self._path(self._name()),
            headers={"Accept": ACCEPT},
            scopes=self._scopes("pull"),
            query=self._namespace(host),
            retry=False,
        )
        async with self._transport.request(host, request, who) as response:
            told = response.headers.get("Docker-Content-Digest")
            media_type = _bare(response.headers.get("Content-Type", ""))
            size = response.content_length
        if told is None or size is None or not media_type:
            return (await self._get(host, who, self._name(), self._reference.digest)).descriptor
        digest = Digest.parse(told)
        if self._reference.digest is not None and digest != self._reference.digest:
            raise Invalid(f"manifest verification failed for digest {self._reference.digest}")
        return Descriptor(media_type, digest, size)

    async def _get(self, host: Host, who: Credentials, name: str, wanted: Digest | None) -> Fetched:
        request = Request(
            "GET",
            self._path(name),
            headers={"Accept": ACCEPT},
            scopes=self._scopes("pull"),
            query=self._namespace(host),
        )
        async with self._transport.request(host, request, who) as response:
            media_type = _bare(response.headers.get("Content-Type", ""))
            if (response.content_length or 0) > _SIZE_MAX:
                raise Invalid(f"the manifest has {response.content_length} bytes: that is no manifest")
            data = bytearray()
            async for piece in response.content.iter_any():
                data += piece
                if len(data) > _SIZE_MAX:
                    raise Invalid("the manifest does not end: that is no manifest")
        return _fetched(bytes(data), media_type, wanted)

    async def _list_referrer(self, host: Host, body: dict[str, object], descriptor: Descriptor) -> None:
        """Keep the list of referrers under its tag, for a registry that does not keep it itself."""
        subject = Descriptor.parse(body["subject"])
        tag = referrers_tag(subject.digest)
        try:
            listed = (await self._get(host, self._who, tag, None)).index
        except Answer as error:
            if error.status != 404:
                raise
            listed = Index(())
        config = body.get("config")
        kind = body.get("artifactType") or (config.get("mediaType") if isinstance(config, dict) else None)
        annotations = body.get("annotations")
        entry = Descriptor(
            descriptor.media_type,
            descriptor.digest,
            descriptor.size,
            annotations={str(k): str(v) for k, v in annotations.items()} if isinstance(annotations, dict) else {},
            artifact_type=str(kind) if kind else None,
        )
        if all(known.digest != entry.digest for known in listed.manifests):
            await self.put(Index((*listed.manifests, entry)).to_bytes(), media_types.OCI_INDEX, tag)

    def _name(self) -> str:
        return str(self._reference.digest or self._reference.tag or "latest")

    def _path(self, name: str) -> str:
        return str(Endpoint(Kind.MANIFEST, self._reference.repository, name))

    def _scopes(self, *actions: str) -> tuple[Scope, ...]:
        return (Scope("repository", self._reference.repository, frozenset(actions)),)

    def _namespace(self, host: Host) -> tuple[tuple[str, str], ...]:
        """A cache of many registries needs to be told whose repository is meant."""
        return (("ns", host.registry),) if host.is_mirror and host.registry != DEFAULT_REGISTRY else ()


def _fetched(data: bytes, media_type: str, wanted: Digest | None) -> Fetched:
    digest = Digest.of(data, wanted.algorithm if wanted else "sha256")
    if wanted is not None and digest != wanted:
        raise Invalid(f"manifest verification failed for digest {wanted}")
    body = parse_object(data, "manifest")
    if body.get("schemaVersion") == 1 or media_type in _SCHEMA_1:
        raise NotImplementedYet(
            "[DEPRECATION NOTICE] Docker Image manifest version 2, schema 1 support has been removed",
            hint="Push the image again with a client of this decade.",
        )
    claimed = body.get("mediaType")
    if isinstance(claimed, str) and claimed:
        if media_type and media_type != claimed and not _is_vague(media_type):
            raise Invalid(f"mediaType {claimed!r} is not the Content-Type {media_type!r}")
        media_type = claimed
    if not media_type or _is_vague(media_type):
        media_type = media_types.OCI_INDEX if "manifests" in body else media_types.OCI_MANIFEST
    return Fetched(Descriptor(media_type, digest, len(data)), data)


def _manifest(fetched: Fetched) -> Manifest:
    return Manifest.parse(fetched.data)


def _bare(content_type: str) -> str:
    return content_type.partition(";")[0].strip()


def _is_vague(media_type: str) -> bool:
    return media_type in ("application/json", "application/octet-stream", "text/plain", "text/html")
