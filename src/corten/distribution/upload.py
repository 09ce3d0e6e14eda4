"""One blob on its way to a registry: already there, mounted from a neighbour, or sent, and gone on with after a break.

Owns: the order of attempts, and the bookkeeping of an upload's location and offset.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from enum import Enum
from pathlib import Path
from urllib.parse import urlencode, urljoin

import aiohttp

from corten.distribution.faults import Answer
from corten.distribution.hosts import Host
from corten.distribution.model import Content, Credentials, Progress, RegistryConfig
from corten.distribution.telling import Telling
from corten.distribution.transport import Request, Transport
from corten.errors import CortenError, Invalid, NotFound, Unavailable
from corten.spec.descriptor import Descriptor
from corten.spec.distribution import ByteRange, Endpoint, Kind, Scope

_PIECE = 1 << 20
_WHOLE_MAX = 1 << 20  # smaller blobs go in one request


class Outcome(Enum):
    """How a blob came to be there."""

    THERE = "Layer already exists"
    MOUNTED = "Mounted from"
    PUSHED = "Pushed"


class Upload:
    """The way of one blob to a registry."""

    def __init__(
        self,
        transport: Transport,
        config: RegistryConfig,
        host: Host,
        repository: str,
        who: Credentials,
        blob: Descriptor,
        content: Content,
        progress: Progress,
        mount_from: Sequence[str] = (),
    ) -> None:
        self._transport = transport
        self._config = config
        self._host = host
        self._repository = repository
        self._who = who
        self._blob = blob
        self._content = content
        self._telling = Telling(progress, blob, "Pushing")
        self._mount_from = mount_from
        self._location = ""
        self._has_begun = False
        self._chunk_least = 0
        self._offset = 0

    async def run(self) -> Outcome:
        """Bring the blob there; what a broken attempt brought is gone on with."""
        failures = furthest = 0
        while True:
            try:
                outcome, words = await self._attempt()
                self._telling.say(words)
                return outcome
            except (Unavailable, Answer) as error:
                failures += 1
                if failures > self._config.retries.attempts or not _may_pass(error):
                    raise
            await self._telling.pause(self._config.retries, failures)
            await self._find_place()
            if self._offset > furthest:
                furthest, failures = self._offset, 0

    async def _attempt(self) -> tuple[Outcome, str]:
        if await self._is_there():  # after a break: only the answer was lost
            outcome = Outcome.PUSHED if self._has_begun else Outcome.THERE
            return outcome, outcome.value
        if not self._has_begun:
            for source in self._mount_from:
                if source != self._repository and await self._mount(source):
                    return Outcome.MOUNTED, f"{Outcome.MOUNTED.value} {source}"
            if not self._content.has(self._blob.digest):
                raise NotFound(f"missing content: {self._blob.digest} is neither here nor in the repository")
        self._has_begun = True
        if not self._location:
            await self._begin()
        await self._send()
        return Outcome.PUSHED, Outcome.PUSHED.value

    async def _is_there(self) -> bool:
        path = str(Endpoint(Kind.BLOB, self._repository, str(self._blob.digest)))
        async with self._ask("HEAD", path, (200, 404)) as response:
            return response.status == 200

    async def _mount(self, source: str) -> bool:
        """Whether the registry has the blob in ``source`` and shares it; else it has opened an upload, which we use."""
        query = (("mount", str(self._blob.digest)), ("from", source))
        scopes = (*self._scopes(), Scope("repository", source, frozenset({"pull"})))
        request = Request("POST", self._uploads(), (201, 202), query=query, scopes=scopes)
        try:
            async with self._transport.request(self._host, request, self._who) as response:
                if response.status == 202:
                    self._note(response)
                return response.status == 201
        except Answer as error:
            if error.status in (401, 403, 404, 405):  # not ours to read, or the registry does not mount
                return False
            raise

    async def _begin(self) -> None:
        self._offset = 0
        async with self._ask("POST", self._uploads(), (202,)) as response:
            self._note(response)

    async def _send(self) -> None:
        path = self._content.path(self._blob.digest)
        if self._offset == 0 and self._blob.size <= _WHOLE_MAX:
            data = await asyncio.to_thread(path.read_bytes)
            await self._finish(data)
            return
        size = max(self._config.chunk_size, self._chunk_least) if self._config.chunk_size else self._blob.size
        while self._offset < self._blob.size:
            await self._chunk(path, min(size, self._blob.size - self._offset))
        await self._finish(b"")

    async def _chunk(self, path: Path, size: int) -> None:
        first = self._offset
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        if first or size < self._blob.size:
            headers["Content-Range"] = str(ByteRange(first, first + size - 1))
        async with self._ask(
            "PATCH", self._location, (202,), headers, lambda: self._read(path, first, size)
        ) as response:
            self._note(response)
        self._offset = first + size

    async def _finish(self, data: bytes) -> None:
        joint = "&" if "?" in self._location else "?"
        path = f"{self._location}{joint}{urlencode({'digest': str(self._blob.digest)})}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(len(data))}
        async with self._ask("PUT", path, (201, 204), headers, lambda: data) as response:
            told = response.headers.get("Docker-Content-Digest")
        if told and told != str(self._blob.digest):
            raise Invalid(f"the registry stored {told} in place of {self._blob.digest}")
        self._telling.amount(self._blob.size)

    async def _find_place(self) -> None:
        """Ask how far the upload is, to go on there; where the registry has forgotten it, forget it too."""
        if not self._location:
            return
        try:
            async with self._ask("GET", self._location, (204,)) as response:
                told = response.headers.get("Range", "")
                self._note(response)
            self._offset = 0 if told in ("", "0-0") else ByteRange.parse_chunk(told).last + 1
        except Unavailable:  # still away: what we know may yet be true
            return
        except (Answer, Invalid):
            self._location = ""
        if self._offset > self._blob.size:
            self._location = ""

    async def _read(self, path: Path, first: int, size: int) -> AsyncIterator[bytes]:
        with path.open("rb") as file:
            file.seek(first)
            left = size
            while left and (data := await asyncio.to_thread(file.read, min(_PIECE, left))):
                left -= len(data)
                yield data
                self._telling.amount(first + size - left)

    def _ask(
        self,
        method: str,
        path: str,
        expect: Sequence[int],
        headers: dict[str, str] | None = None,
        body: Callable[[], object] | None = None,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        request = Request(
            method,
            path,
            tuple(expect),
            headers,
            body=body,
            scopes=self._scopes(),
            retry=method in ("HEAD", "POST"),
        )
        return self._transport.request(self._host, request, self._who)

    def _note(self, response: aiohttp.ClientResponse) -> None:
        location = response.headers.get("Location", "")
        if not location:
            raise Invalid("the registry names no location for the upload")
        self._location = urljoin(str(response.url), location)
        least = response.headers.get("OCI-Chunk-Min-Length", "")
        self._chunk_least = int(least) if least.isdecimal() and len(least) < 19 else self._chunk_least

    def _uploads(self) -> str:
        return str(Endpoint(Kind.UPLOADS, self._repository))

    def _scopes(self) -> tuple[Scope, ...]:
        return (Scope("repository", self._repository, frozenset({"pull", "push"})),)


def _may_pass(error: CortenError) -> bool:
    """Whether to go on after it: also when the upload is forgotten, held by another, or elsewhere than we think."""
    return not isinstance(error, Answer) or error.is_worth_retrying or error.status in (404, 409, 416)
