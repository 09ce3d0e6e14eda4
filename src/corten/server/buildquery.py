"""The parameters of POST /build, Docker's and ours, and its body: a tar, or parts with secrets and further contexts.

Owns: names, kinds and refusals.  docs/builds.md has the list of what is ours.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiohttp import BodyPartReader, web

from corten.engine.builds.classic import Sent
from corten.engine.builds.options import BuildOptions
from corten.errors import Invalid, NotImplementedYet
from corten.server import lines, query
from corten.server.request import flag, number, since

# The query's name of a limit and the name that containers have for it.
_LIMITS = {
    "memory": "Memory",
    "memswap": "MemorySwap",
    "cpushares": "CpuShares",
    "cpuperiod": "CpuPeriod",
    "cpuquota": "CpuQuota",
}
_SETS = {"cpusetcpus": "CpusetCpus", "cpusetmems": "CpusetMems"}
_CHUNK = 256 << 10


def options(request: web.Request) -> BuildOptions:
    """What is asked for.  Raises Invalid and NotImplementedYet before the context is read."""
    asked = request.query
    _refuse(request)
    force_remove = flag(request, "forcerm")
    resources: dict[str, Any] = {name: value for key, name in _LIMITS.items() if (value := number(request, key))}
    resources |= {name: text for key, name in _SETS.items() if (text := asked.get(key, ""))}
    credentials = query.header(request, "X-Registry-Config")
    return BuildOptions(
        build_id=asked.get("buildid", ""),
        dockerfile=asked.get("dockerfile", "") or "Dockerfile",
        remote=asked.get("remote", ""),
        tags=tuple(asked.getall("t", [])),
        build_args=query.optional_texts(request, "buildargs", "error reading build args"),
        labels=query.texts(request, "labels", "error reading labels"),
        cache_from=_names(request, "cachefrom", "error reading cache-from"),
        no_cache=flag(request, "nocache"),
        pull=flag(request, "pull"),
        remove=force_remove or asked.get("rm", "") == "" or flag(request, "rm"),
        force_remove=force_remove,
        quiet=flag(request, "q"),
        squash=flag(request, "squash"),
        target=asked.get("target", ""),
        platform=asked.get("platform", "") if since(request, 32) else "",
        network=asked.get("networkmode", ""),
        extra_hosts=tuple(asked.getall("extrahosts", [])),
        shm_size=number(request, "shmsize") or 0,
        resources=resources,
        ulimits=query.listed(request, "ulimits", "error reading ulimit settings"),
        cgroup_parent=asked.get("cgroupparent", ""),
        credentials={name: value for name, value in credentials.items() if isinstance(value, Mapping)},
        **_ours(request),
    )


def _ours(request: web.Request) -> dict[str, Any]:
    """What Docker's classic builder has no parameter for."""
    return {
        "no_cache_filter": _names(request, "nocachefilter", "error reading no-cache-filter"),
        "entitlements": frozenset(_names(request, "allow", "error reading allow")),
        "check": flag(request, "check"),
        "explain": flag(request, "explain"),
        "keep_failed": flag(request, "debug"),
        "contexts": query.texts(request, "contexts", "error reading build contexts"),
        "agents": query.texts(request, "ssh", "error reading ssh agents"),
        "cache_imports": _entries(request, "cacheimports"),
        "cache_exports": _entries(request, "cacheexports"),
    }


def _names(request: web.Request, name: str, what: str) -> tuple[str, ...]:
    found = query.listed(request, name, what)
    if not all(isinstance(item, str) for item in found):
        raise Invalid(f"{what}: json: cannot unmarshal into a list of strings")
    return found


def _entries(request: web.Request, name: str) -> tuple[Mapping[str, str], ...]:
    found = query.listed(request, name, f"error reading {name}")
    for item in found:
        if not (isinstance(item, dict) and all(isinstance(value, str) for value in item.values())):
            raise Invalid(f"error reading {name}: json: cannot unmarshal into a list of maps of strings")
    return found


def _refuse(request: web.Request) -> None:
    """Refuse what the classic builder cannot do, before the context is read."""
    builder = request.query.get("version", "")
    if builder == "2":
        return  # routes/buildkit.py
    if builder not in ("", "1"):
        raise Invalid(f'invalid version "{builder}"')
    if request.query.getall("securityopt", []):
        raise Invalid("security options are not supported on linux")
    if (isolation := request.query.get("isolation", "")) not in ("", "default"):
        raise Invalid(f'unsupported isolation: "{isolation}"')
    if query.listed(request, "outputs", "invalid outputs specified"):
        raise NotImplementedYet("build outputs need BuildKit: see docs/builds.md for how corten build writes them")


async def sent(request: web.Request) -> Sent:
    """The body, unread."""
    if not request.can_read_body:
        return Sent()
    if request.content_type.startswith("multipart/"):
        return Sent(parts=_parts(request))
    return Sent(lines.chunks(request))


async def _parts(request: web.Request) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader) or not part.name:
                raise Invalid("a part of the build has no name")
            yield part.name, _content(part)
            await part.release()
    except ValueError as error:
        raise Invalid(f"the parts of the build cannot be read: {error}") from None


async def _content(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(_CHUNK):
        yield bytes(chunk)
