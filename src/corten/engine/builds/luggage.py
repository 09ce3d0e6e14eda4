"""What comes with a build besides its context: secrets, agents, further directories, caches.

Owns: reading the parts of a request in their order, within bounds, and keeping secrets in memory only: they are in no
context, no image, no history, and no file outlives the step that asked for one (build/steps/runmounts.py).
A part's name says what it is:

    secret/<id>      the value of a secret
    context/<name>   a tar, the directory that COPY --from=<name> means
    cache/<n>        a tar, what an earlier --cache-to=type=local wrote
    context          the tar of the context itself: the last part
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from corten.errors import Invalid

Body = AsyncIterator[bytes]
Parts = AsyncIterator[tuple[str, Body]]

# BuildKit's limit, too.
SECRET_LIMIT = 500 << 10
MOST_PARTS = 256


@dataclass(slots=True)
class Luggage:
    """``body`` is the context, yet to be read; ``archives`` are spooled tars by the names of their parts."""

    secrets: dict[str, bytes] = field(default_factory=dict)
    archives: dict[str, Path] = field(default_factory=dict)
    body: Body | None = None


async def unload(parts: Parts, directory: Path) -> Luggage:
    """Read up to the context; raises Invalid for what cannot be."""
    found = Luggage()
    async for name, body in parts:
        if name == "context":
            found.body = body
            break
        if len(found.secrets) + len(found.archives) >= MOST_PARTS:
            raise Invalid(f"a build may come with at most {MOST_PARTS} parts")
        kind, slash, rest = name.partition("/")
        if not slash or not rest:
            raise Invalid(f"unknown part of a build: {name!r}")
        if kind == "secret":
            found.secrets[rest] = await _secret(rest, body)
        elif kind in ("context", "cache"):
            path = directory / f"{len(found.archives)}.tar"
            with path.open("wb") as file:
                async for chunk in body:
                    file.write(chunk)
            found.archives[name] = path
        else:
            raise Invalid(f"unknown part of a build: {name!r}")
    return found


async def _secret(id: str, body: Body) -> bytes:
    data = bytearray()
    async for chunk in body:
        data += chunk
        if len(data) > SECRET_LIMIT:
            raise Invalid(f"invalid secret {id}: larger than {SECRET_LIMIT} bytes")
    return bytes(data)


class SentSecrets:
    """build.ports.Secrets of what was sent along.  ``agents`` are sockets on this machine."""

    def __init__(self, values: Mapping[str, bytes], agents: Mapping[str, str]) -> None:
        self._values = values
        self._agents = agents

    async def secret(self, id: str) -> bytes | None:
        return self._values.get(id)

    async def ssh(self, id: str) -> str | None:
        return self._agents.get(id)
