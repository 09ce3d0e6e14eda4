"""One request of the distribution API on its way through the registry.

Owns: Parts (what the handlers work with) and Call (a request with its endpoint and its actor).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from corten.registry.auth import Actor
from corten.registry.config import Options
from corten.registry.faults import Refused
from corten.registry.quotas import Quotas
from corten.registry.repositories import Repositories, Repository
from corten.registry.running import RunningHashes
from corten.spec.digest import Digest
from corten.spec.distribution import Endpoint, ErrorCode


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that others want to hear of: a push, a pull, a mount, a deletion."""

    action: str
    repository: str
    digest: Digest | None
    media_type: str = "application/octet-stream"
    size: int = 0
    tag: str | None = None
    from_repository: str | None = None


class Listener(Protocol):
    """Where happenings go."""

    def tell(self, happening: Happening, request: web.Request, actor: str) -> None:
        """Take note of it; returns at once."""
        ...


class Upstream(Protocol):
    """A registry that this one caches (upstream.py)."""

    async def manifest(self, repository: Repository, reference: str) -> None:
        """Make the manifest that ``reference`` names upstream ours, where it is newer."""
        ...

    async def blob(self, call: Call, digest: Digest) -> web.StreamResponse | None:
        """Answer with an upstream blob while storing it; None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the handlers work with."""

    repositories: Repositories
    options: Options
    listeners: tuple[Listener, ...]
    hashes: RunningHashes
    quotas: Quotas
    upstream: Upstream | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A request, taken apart and admitted."""

    request: web.Request
    endpoint: Endpoint
    actor: Actor
    parts: Parts

    @property
    def repository(self) -> Repository:
        """The repository that the path names."""
        return self.parts.repositories.at(self.endpoint.name)

    @property
    def is_head(self) -> bool:
        """Whether only the headers are asked for."""
        return self.request.method == "HEAD"

    def digest(self, text: str | None = None) -> Digest:
        """The digest of the path (or ``text``)."""
        return parse_digest(self.endpoint.argument if text is None else text)

    def tell(self, happening: Happening) -> None:
        """Let the listeners know."""
        for listener in self.parts.listeners:
            listener.tell(happening, self.request, self.actor.name)

    async def require_repository(self) -> Repository:
        """The repository, which must hold something."""
        repository = self.repository
        if not await repository.exists():
            raise Refused(ErrorCode.NAME_UNKNOWN, detail={"name": repository.name})
        return repository


def parse_digest(text: str) -> Digest:
    """A digest that a client sent."""
    try:
        return Digest.parse(text)
    except Exception as error:
        raise Refused(ErrorCode.DIGEST_INVALID, str(error)) from error
