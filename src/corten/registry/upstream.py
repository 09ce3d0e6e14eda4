"""The pull-through cache: what is not here is fetched from another registry, verified, kept, and passed on.

Owns: the requests to the upstream and their authentication.  The user's credentials are never sent upstream; the
cache has its own.  When the upstream does not answer, what is held is served: a cache must not be less available.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from corten.errors import Unavailable
from corten.registry.call import Call, Happening
from corten.registry.config import UpstreamOptions
from corten.registry.faults import Refused
from corten.registry.manifest import Reading
from corten.registry.repositories import Repositories, Repository, blob_key
from corten.registry.running import Running
from corten.registry.storage.base import Upload
from corten.spec import media_types
from corten.spec.digest import Digest
from corten.spec.distribution import Challenge, Endpoint, ErrorCode, Kind, basic_credentials, parse_challenges

_log = logging.getLogger(__name__)
_ACCEPT = ", ".join(
    [media_types.OCI_INDEX, media_types.OCI_MANIFEST, media_types.DOCKER_INDEX, media_types.DOCKER_MANIFEST]
)
_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=15, sock_read=60)
_PIECE = 1 << 20
_TOKEN_LIFETIME = 50.0


class Mirror:
    """See call.Upstream."""

    def __init__(self, options: UpstreamOptions, repositories: Repositories) -> None:
        self._options = options
        self._repositories = repositories
        self._session: aiohttp.ClientSession | None = None
        self._checked: dict[tuple[str, str], float] = {}
        self._tokens: dict[str, tuple[str, float]] = {}
        self._fetching: set[Digest] = set()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def manifest(self, repository: Repository, reference: str) -> None:
        """Make the manifest ours, where it is newer."""
        is_digest = ":" in reference
        if is_digest and await repository.held(Digest.parse(reference)):
            return
        if not is_digest and self._checked.get((repository.name, reference), 0.0) > time.monotonic():
            return
        try:
            async with self._get(Kind.MANIFEST, repository.name, reference) as response:
                if response is None:
                    return
                data = await response.read()
                media_type = response.headers.get("Content-Type", "")
        except Unavailable as error:
            _log.warning("upstream: %s; answering from the cache", error)
            return
        digest = Digest.parse(reference) if is_digest else Digest.of(data)
        if Digest.of(data, digest.algorithm) != digest:
            raise Refused(ErrorCode.MANIFEST_INVALID, "the upstream's manifest has another digest", status=502)
        reading = Reading.of(data, media_type)
        await repository.put_manifest(reading, digest, [] if is_digest else [reference], whole=False)
        self._checked[repository.name, reference] = time.monotonic() + self._options.fresh

    async def blob(self, call: Call, digest: Digest) -> web.StreamResponse | None:
        """Answer with the upstream's blob, keeping it on the way."""
        headers = {"Docker-Content-Digest": str(digest), "Content-Type": "application/octet-stream"}
        async with self._get(Kind.BLOB, call.endpoint.name, str(digest), head=call.is_head) as upstream:
            if upstream is None:
                return None
            response = web.StreamResponse(headers=headers)
            response.content_length = upstream.content_length
            await response.prepare(call.request)
            if call.is_head:
                return response
            # One request at a time keeps it; a second one for the same blob just passes it on.
            keeper = await self._keeper(digest)
            try:
                async for piece in upstream.content.iter_chunked(_PIECE):
                    if keeper is not None:
                        await keeper.take(piece)
                    await response.write(piece)
                if keeper is not None:
                    await keeper.commit(self._repositories, call.repository)
            finally:
                if keeper is not None:
                    self._fetching.discard(digest)
                    await keeper.upload.abort()
            call.tell(Happening("pull", call.endpoint.name, digest, size=upstream.content_length or 0))
            await response.write_eof()
            return response

    async def _keeper(self, digest: Digest) -> _Keeper | None:
        if digest in self._fetching:
            return None
        self._fetching.add(digest)
        return _Keeper(digest, await self._repositories.driver.create_upload(uuid.uuid4().hex))

    @asynccontextmanager
    async def _get(
        self, kind: Kind, name: str, argument: str, *, head: bool = False
    ) -> AsyncIterator[aiohttp.ClientResponse | None]:
        """The upstream's answer; None for not found, Unavailable for every other trouble."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT, auto_decompress=False)
        url = self._options.url.rstrip("/") + str(Endpoint(kind, name, argument))
        try:
            for attempt in range(2):
                headers = {"Accept": _ACCEPT, "Authorization": self._authorization(name)}
                headers = {key: value for key, value in headers.items() if value}
                async with self._session.request("HEAD" if head else "GET", url, headers=headers) as response:
                    if response.status == 401 and attempt == 0:
                        await self._answer_challenge(name, response.headers.getall("WWW-Authenticate", []))
                        continue
                    if response.status in (401, 403, 404):
                        yield None
                        return
                    if response.status != 200:
                        raise Unavailable(f"{url}: status {response.status}")
                    yield response
                    return
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"{url}: {error or type(error).__name__}") from error

    def _authorization(self, name: str) -> str:
        token, expires = self._tokens.get(name, ("", 0.0))
        return token if expires > time.monotonic() else ""

    async def _answer_challenge(self, name: str, headers: list[str]) -> None:
        challenges = [challenge for header in headers for challenge in parse_challenges(header)]
        bearer = next((challenge for challenge in challenges if challenge.is_bearer), None)
        if bearer is not None:
            self._tokens[name] = (f"Bearer {await self._fetch_token(bearer, name)}", time.monotonic() + _TOKEN_LIFETIME)
        elif self._options.username:
            basic = basic_credentials(self._options.username, self._options.password)
            self._tokens[name] = (basic, time.monotonic() + _TOKEN_LIFETIME)

    async def _fetch_token(self, challenge: Challenge, name: str) -> str:
        assert self._session is not None
        query = {"scope": challenge.parameters.get("scope", f"repository:{name}:pull")}
        if "service" in challenge.parameters:
            query["service"] = challenge.parameters["service"]
        headers = {}
        if self._options.username:
            headers["Authorization"] = basic_credentials(self._options.username, self._options.password)
        async with self._session.get(challenge.parameters.get("realm", ""), params=query, headers=headers) as response:
            if response.status != 200:
                raise Unavailable(f"token service of the upstream: status {response.status}")
            body = await response.json(content_type=None)
            return str(body.get("token") or body.get("access_token") or "")


class _Keeper:
    """A blob that is being kept while it passes."""

    def __init__(self, digest: Digest, upload: Upload) -> None:
        self.upload = upload
        self._digest = digest
        self._running = Running(digest.algorithm)

    async def take(self, piece: bytes) -> None:
        await asyncio.gather(self.upload.append(piece), asyncio.to_thread(self._running.update, piece))

    async def commit(self, repositories: Repositories, repository: Repository) -> None:
        """Keep it, if it is what it should be; the client verifies for itself."""
        if self._running.digest() != self._digest:
            _log.error("upstream sent other bytes for %s; they are not kept", self._digest)
            return
        with contextlib.suppress(OSError):  # a full disk must not fail the pull
            async with repositories.driver.shared():
                await self.upload.commit(blob_key(self._digest))
                await repository.link_blob(self._digest, self._running.offset)
