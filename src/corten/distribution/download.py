"""One blob: fetched, resumed by range, verified, and only then visible.

Owns: the order of attempts.  A blob that stops half-way goes on where it stopped, also in another process of another
day: the partial bytes are an ingest of the content store under the blob's digest.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import aiohttp

from corten.distribution.faults import Answer
from corten.distribution.hosts import Host
from corten.distribution.model import Content, Credentials, Ingest, Progress, RegistryConfig
from corten.distribution.telling import Telling
from corten.distribution.transport import Request, Transport, first_of
from corten.errors import CortenError, Internal, Invalid, Unavailable
from corten.spec.descriptor import Descriptor
from corten.spec.distribution import ByteRange, Endpoint, Kind, Scope
from corten.spec.reference import DEFAULT_REGISTRY

_PIECE = 1 << 20


class Download:
    """The way of one blob into the content store."""

    def __init__(
        self,
        transport: Transport,
        config: RegistryConfig,
        hosts: Sequence[Host],
        repository: str,
        who: Credentials,
        blob: Descriptor,
        content: Content,
        progress: Progress,
    ) -> None:
        self._transport = transport
        self._config = config
        self._hosts = hosts
        self._repository = repository
        self._who = who
        self._blob = blob
        self._content = content
        self._telling = Telling(progress, blob, "Downloading")

    async def run(self) -> None:
        """Bring the blob; returns when it is verified and in place."""
        failures = mismatches = 0
        while True:
            ingest = await asyncio.to_thread(self._content.ingest, str(self._blob.digest))
            before = ingest.offset
            try:
                await self._fetch(ingest)
                await self._commit(ingest)
                return
            except Invalid:
                mismatches += 1
                if mismatches > 1:  # once may be a bad resume; twice is what the registry has
                    raise
            except (Unavailable, Answer) as error:
                failures = 1 if ingest.offset > before else failures + 1
                if failures > self._config.retries.attempts or not _may_pass(error):
                    raise
                await self._telling.pause(self._config.retries, failures)
            except OSError as error:  # ours, not the connection's: what came is kept, for when there is room
                raise Internal(f"write {self._blob.digest}: {(error.strerror or str(error)).lower()}") from error
            finally:
                await asyncio.shield(asyncio.to_thread(ingest.close))

    async def _fetch(self, ingest: Ingest) -> None:
        if ingest.offset > self._blob.size:
            ingest.truncate()
        if ingest.offset == self._blob.size:
            return

        async def ask(host: Host, who: Credentials) -> None:
            path = str(Endpoint(Kind.BLOB, self._repository, str(self._blob.digest)))
            query = (("ns", host.registry),) if host.is_mirror and host.registry != DEFAULT_REGISTRY else ()
            await self._receive(host, who, Request("GET", path, query=query), ingest)

        try:
            await first_of(self._hosts, self._transport, self._who, ask)
        except Answer as error:
            if error.status != 404 or not self._blob.urls:
                raise
            await self._receive_foreign(ingest)

    async def _receive_foreign(self, ingest: Ingest) -> None:
        """A layer that its registry may not serve, from where its descriptor says (Windows base layers)."""
        failure: CortenError | None = None
        for url in self._blob.urls:
            if not url.startswith("https://"):
                continue
            host = Host(url.partition("://")[0] + "://" + url.partition("://")[2].partition("/")[0], "", is_mirror=True)
            try:
                await self._receive(host, Credentials(), Request("GET", url), ingest)
                return
            except (Answer, Unavailable) as error:
                failure = error
        raise failure or Invalid(f"layer {self._blob.digest} names no https URL")

    async def _receive(self, host: Host, who: Credentials, request: Request, ingest: Ingest) -> None:
        headers = {"Accept-Encoding": "identity"}
        if ingest.offset:
            headers["Range"] = f"bytes={ingest.offset}-"
        scopes = (Scope("repository", self._repository, frozenset({"pull"})),) if self._repository else ()
        asked = Request(
            request.method, request.path, (200, 206, 416), headers, request.query, scopes=scopes, retry=False
        )
        async with self._transport.request(host, asked, who) as response:
            self._place(response, ingest)
            if response.status == 416:
                raise Unavailable(f"the registry cannot go on at {ingest.offset}")
            async for piece in _pieces(response):
                if ingest.offset + len(piece) > self._blob.size:
                    ingest.truncate()
                    raise Invalid(f"filesystem layer verification failed for digest {self._blob.digest}: too long")
                await asyncio.shield(asyncio.to_thread(ingest.write, piece))
                self._telling.amount(ingest.offset)
        if ingest.offset < self._blob.size:
            raise Unavailable(f'Get "{response.url.with_query(None)}": unexpected EOF')

    def _place(self, response: aiohttp.ClientResponse, ingest: Ingest) -> None:
        """Begin again where the server did not go on where we stopped."""
        if response.status == 206:
            span, _ = ByteRange.parse_response(response.headers.get("Content-Range", ""))
            if span.first == ingest.offset:
                return
            raise Unavailable(f"the registry went on at {span.first}, not at {ingest.offset}")
        if ingest.offset:
            ingest.truncate()

    async def _commit(self, ingest: Ingest) -> None:
        self._telling.say("Verifying Checksum")
        try:
            await asyncio.shield(asyncio.to_thread(ingest.commit, self._blob.digest, self._blob.size))
        except Invalid as error:
            raise Invalid(f"filesystem layer verification failed for digest {self._blob.digest}") from error
        self._telling.say("Download complete")


async def _pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body in pieces of about a megabyte; what came before a break is given before the break is told."""
    buffer = bytearray()
    try:
        async for data in response.content.iter_any():
            buffer += data
            if len(buffer) >= _PIECE:
                yield bytes(buffer)
                buffer.clear()
    except (aiohttp.ClientError, OSError):
        if buffer:
            yield bytes(buffer)
        raise
    if buffer:
        yield bytes(buffer)


def _may_pass(error: CortenError) -> bool:
    return isinstance(error, Unavailable) or (isinstance(error, Answer) and error.is_worth_retrying)
