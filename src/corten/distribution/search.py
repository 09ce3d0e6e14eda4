"""Searching: the index endpoint of registry version 1, which Docker Hub still serves, and our own registry too.

A registry without it is searched through its catalog.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from corten.distribution.faults import Answer
from corten.distribution.hosts import Host, hosts_of
from corten.distribution.model import Credentials, Found, RegistryConfig
from corten.distribution.transport import Request, Transport, first_of
from corten.errors import Unavailable
from corten.spec.canonical import parse_object
from corten.spec.distribution import Scope
from corten.spec.reference import DEFAULT_REGISTRY

_HUB_INDEX = "https://index.docker.io"


def ways(registry: str, config: RegistryConfig) -> list[Host]:
    """The hosts that may answer."""
    if registry == DEFAULT_REGISTRY:
        return [Host(_HUB_INDEX, registry)]
    return hosts_of(registry, config, push=True)


async def search(
    transport: Transport, hosts: Sequence[Host], term: str, limit: int, credentials: Credentials
) -> list[Found]:
    """At most ``limit`` repositories."""

    async def ask(host: Host, who: Credentials) -> list[Found]:
        request = Request("GET", "/v1/search", query=(("q", term), ("n", str(limit))), scopes=(_scope("search"),))
        try:
            async with transport.request(host, request, who) as response:
                body = parse_object(await response.read(), "search result")
            return [_found(entry) for entry in body.get("results") or [] if isinstance(entry, dict)][:limit]
        except Answer as error:
            if error.status not in (400, 404, 405):
                raise
            return await _catalog(transport, host, who, term, limit)

    try:
        return await first_of(hosts, transport, credentials, ask)
    except Answer as error:
        raise Unavailable(f"Unexpected status code {error.status}") from error


async def _catalog(transport: Transport, host: Host, who: Credentials, term: str, limit: int) -> list[Found]:
    request = Request("GET", "/v2/_catalog", scopes=(_scope("*"),))
    async with transport.request(host, request, who) as response:
        body = parse_object(await response.read(), "catalog")
    names = [str(name) for name in body.get("repositories") or []]
    return [Found(name) for name in names if term in name][:limit]


def _scope(action: str) -> Scope:
    return Scope("registry", "catalog", frozenset({action}))


def _found(entry: dict[str, Any]) -> Found:
    return Found(
        str(entry.get("name", "")),
        str(entry.get("description") or ""),
        int(entry.get("star_count") or 0),
        bool(entry.get("is_official")),
        bool(entry.get("is_automated")),
    )
