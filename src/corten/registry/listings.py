"""Content discovery: tags, the catalog, referrers."""

from __future__ import annotations

import json
from urllib.parse import quote, urlencode

from aiohttp import web

from corten.registry.call import Call
from corten.registry.faults import Refused
from corten.spec.descriptor import Descriptor
from corten.spec.distribution import ErrorCode
from corten.spec.image import Index
from corten.spec.media_types import OCI_INDEX

_PAGE_MAX = 1000
_SEARCH_MAX = 100
_REFERRERS_MAX = 3 << 20  # bytes of one page: clients expect manifests of up to four megabytes


async def tags(call: Call) -> web.StreamResponse:
    """GET /v2/<name>/tags/list"""
    repository = await call.require_repository()
    page, headers = _page(call, await repository.tags(), f"/v2/{repository.name}/tags/list")
    return _json({"name": repository.name, "tags": page}, headers)


async def catalog(call: Call) -> web.StreamResponse:
    """GET /v2/_catalog: the repositories that the actor may pull."""
    names = [name for name in await call.parts.repositories.names() if call.actor.sees(name)]
    page, headers = _page(call, names, "/v2/_catalog", default=_PAGE_MAX)
    return _json({"repositories": page}, headers)


async def search(call: Call) -> web.StreamResponse:
    """GET /v1/search?q=: what ``docker search host/term`` asks, the one thing left of version 1."""
    query = call.request.query
    term = query.get("q", "")
    names = [name for name in await call.parts.repositories.names() if term in name and call.actor.sees(name)]
    try:
        count = min(max(int(query.get("n", "25")), 1), _SEARCH_MAX)
    except ValueError:
        count = 25
    results = [
        {"name": name, "description": "", "star_count": 0, "is_official": False, "is_automated": False}
        for name in names[:count]
    ]
    return _json({"query": term, "num_results": len(results), "results": results}, {})


async def referrers(call: Call) -> web.StreamResponse:
    """GET /v2/<name>/referrers/<digest>: always a list, if an empty one."""
    subject = call.digest()
    found = sorted(await call.repository.referrers(subject), key=lambda entry: entry.digest)
    headers = {}
    wanted = call.request.query.get("artifactType")
    if wanted:
        found = [entry for entry in found if entry.artifact_type == wanted]
        headers["OCI-Filters-Applied"] = "artifactType"
    after = call.request.query.get("last", "")
    page = _fitting([entry for entry in found if str(entry.digest) > after])
    if page and page[-1] is not found[-1]:
        following = urlencode({"last": str(page[-1].digest)} | ({"artifactType": wanted} if wanted else {}))
        headers["Link"] = f'</v2/{call.endpoint.name}/referrers/{subject}?{following}>; rel="next"'
    body = Index(tuple(page)).to_bytes()
    return web.Response(body=body, headers=headers | {"Content-Type": OCI_INDEX})


def _fitting(entries: list[Descriptor]) -> list[Descriptor]:
    """As many as fit one page, at least one."""
    size = 0
    page: list[Descriptor] = []
    for entry in entries:
        size += len(json.dumps(entry.to_json()))
        if page and size > _REFERRERS_MAX:
            break
        page.append(entry)
    return page


def _page(call: Call, entries: list[str], path: str, default: int | None = None) -> tuple[list[str], dict[str, str]]:
    """The entries after ``last``, ``n`` of them, and the link to the following."""
    query = call.request.query
    try:
        count = int(query["n"]) if "n" in query else default
    except ValueError:
        count = -1
    if count is not None and count < 0:
        raise Refused(ErrorCode.UNSUPPORTED, f"n must be a number, not {query['n'][:40]!r}", status=400)
    after = [entry for entry in entries if entry > query["last"]] if "last" in query else entries
    if count is None or len(after) <= count:
        return after, {}
    page = after[:count]
    link = f'<{path}?n={count}&last={quote(page[-1], safe="")}>; rel="next"' if page else ""
    return page, {"Link": link} if link else {}


def _json(body: dict[str, object], headers: dict[str, str]) -> web.Response:
    return web.Response(body=json.dumps(body).encode(), content_type="application/json", headers=headers)
