"""Asking registries: search, what a name means there, login.

Owns: search filters and the shapes of the answers.  For the asking itself read distribution/client.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from corten.api.filters import Filters
from corten.distribution.client import Distribution
from corten.distribution.model import Credentials, Found
from corten.engine.images import credentials as auth
from corten.errors import Invalid
from corten.spec import media_types
from corten.spec.image import ImageConfig, Manifest
from corten.spec.platform import Platform
from corten.spec.reference import DEFAULT_TAG, Reference

FILTERS = frozenset({"is-automated", "is-official", "stars"})
DEFAULT_LIMIT, MAX_LIMIT = 25, 100


class Registries:
    """Questions to registries."""

    def __init__(self, distribution: Distribution) -> None:
        self._distribution = distribution

    async def search(self, term: str, limit: int, filters: Filters, credentials: Credentials) -> list[dict[str, Any]]:
        """Repositories that a registry knows for a term."""
        wanted = _Wanted(filters)
        if not 0 <= limit <= MAX_LIMIT:
            raise Invalid(f"limit {limit} is outside the range of [1, {MAX_LIMIT}]")
        found = await self._distribution.search(term, limit=limit or DEFAULT_LIMIT, credentials=credentials)
        return [
            {
                "star_count": item.stars,
                "is_official": item.is_official,
                "name": item.name,
                "is_automated": item.is_automated,
                "description": item.description,
            }
            for item in found
            if wanted.keeps(item)
        ]

    async def inspect(self, name: str, credentials: Credentials) -> dict[str, Any]:
        """Digest and platforms of what a registry has under a name."""
        reference = Reference.parse(name, default_tag=None)
        if reference.tag is None and reference.digest is None:
            reference = replace(reference, tag=DEFAULT_TAG)
        fetched = await self._distribution.fetch(reference, credentials)
        if media_types.is_index(fetched.descriptor.media_type):
            platforms = [item.platform for item in fetched.index.manifests if item.platform is not None]
        else:
            platforms = [await self._platform(reference, credentials, fetched.data)]
        return {
            "Descriptor": fetched.descriptor.to_json(),
            "Platforms": [platform.to_json() for platform in platforms],
        }

    async def _platform(self, reference: Reference, credentials: Credentials, manifest: bytes) -> Platform:
        """docker: for a single manifest the platform is what its config says."""
        config = Manifest.parse(manifest).config
        data = await self._distribution.fetch_blob(reference, config, credentials)
        return ImageConfig.parse(data).platform

    async def login(self, body: Mapping[str, Any]) -> tuple[str, str]:
        """Try credentials."""
        registry = auth.server(str(body.get("serveraddress") or ""))
        login = await self._distribution.login(registry, auth.parse(body))
        return login.status, login.identity_token


class _Wanted:
    """The filters of a search, read once."""

    def __init__(self, filters: Filters) -> None:
        filters.only(FILTERS)
        self._official = filters.flag("is-official", False) if "is-official" in filters else None
        self._automated = filters.flag("is-automated", False) if "is-automated" in filters else None
        self._stars = 0
        for text in filters.get("stars"):
            if not text.isdecimal():
                raise Invalid(f"invalid filter 'stars={text}'")
            self._stars = max(self._stars, int(text))

    def keeps(self, item: Found) -> bool:
        return (
            item.stars >= self._stars
            and (self._official is None or item.is_official == self._official)
            and (self._automated is None or item.is_automated == self._automated)
        )
