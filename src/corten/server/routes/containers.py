"""/containers/…: parse, call, print.  Streams of containers are in ``container_streams.py``."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from corten.engine.commits import Wish
from corten.engine.containers.create import Request
from corten.errors import Invalid
from corten.server.request import (
    Handler,
    body,
    engine,
    filters,
    flag,
    no_content,
    number,
    param,
    reply,
    version,
)


async def container_list(request: web.Request) -> web.StreamResponse:
    """GET /containers/json"""
    found = await engine(request).containers.summaries(
        filters(request),
        show_all=flag(request, "all"),
        limit=number(request, "limit"),
        size=flag(request, "size"),
        version=version(request),
    )
    return reply(found)


async def container_create(request: web.Request) -> web.StreamResponse:
    """POST /containers/create"""
    given = await body(request)
    container_id, warnings = await engine(request).containers.create(
        Request(
            config=given,
            host_config=_host_config(given),
            networking=_part(given, "NetworkingConfig"),
            name=request.query.get("name", ""),
            platform=request.query.get("platform", ""),
        )
    )
    return reply({"Id": container_id, "Warnings": warnings}, 201)


def _host_config(given: dict[str, Any]) -> dict[str, Any]:
    """docker: clients from before 1.18 put the host's settings beside the container's; Runtime is still sent so."""
    host = _part(given, "HostConfig")
    if isinstance(given.get("Runtime"), str) and not host.get("Runtime"):
        host = host | {"Runtime": given["Runtime"]}
    return host


def _part(given: dict[str, Any], name: str) -> dict[str, Any]:
    value = given.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Invalid(
            f"json: cannot unmarshal value into Go struct field CreateRequest.{name} of type container.{name}"
        )
    return value


async def container_prune(request: web.Request) -> web.StreamResponse:
    """POST /containers/prune"""
    gone, reclaimed = await engine(request).containers.prune(filters(request))
    return reply({"ContainersDeleted": gone or None, "SpaceReclaimed": reclaimed})


async def container_inspect(request: web.Request) -> web.StreamResponse:
    """GET /containers/{name}/json"""
    name, size = param(request, "name"), flag(request, "size")
    return reply(await engine(request).containers.inspect(name, size=size, version=version(request)))


async def container_top(request: web.Request) -> web.StreamResponse:
    """GET /containers/{name}/top"""
    return reply(await engine(request).containers.top(param(request, "name"), request.query.get("ps_args", "")))


async def container_changes(request: web.Request) -> web.StreamResponse:
    """GET /containers/{name}/changes"""
    return reply(await engine(request).containers.changes(param(request, "name")) or None)


async def container_start(request: web.Request) -> web.StreamResponse:
    """POST /containers/{name}/start"""
    await engine(request).containers.start(param(request, "name"))
    return no_content()


async def container_stop(request: web.Request) -> web.StreamResponse:
    """POST /containers/{name}/stop"""
    signal = request.query.get("signal", "")
    await engine(request).containers.stop(param(request, "name"), number(request, "t"), signal)
    return no_content()


async def container_restart(request: web.Request) -> web.StreamResponse:
    """POST /containers/{name}/restart"""
    signal = request.query.get("signal", "")
    await engine(request).containers.restart(param(request, "name"), number(request, "t"), signal)
    return no_content()


async def container_kill(request: web.Request) -> web.StreamResponse:
    """POST /containers/{name}/kill"""
    await engine(request).containers.kill(param(request, "name"), request.query.get("signal", ""))
    return no_content()


async def container_pause(request: web.Request) -> web.StreamResponse:
    """POST /containers/{name}/pause"""
    await engine(request).containers.pause(param(request, "name"))
    return no_content()


async def container_unpause(request: web.Request) -> web.StreamResponse:
    """POST /containers/{name}/unpause"""
    await engine(request).containers.unpause(param(request, "name"))
    return no_content()


async def container_rename(request: web.Request) -> web.StreamResponse:
    """POST /containers/{name}/rename"""
    await engine(request).containers.rename(param(request, "name"), request.query.get("name", ""))
    return no_content()


async def container_update(request: web.Request) -> web.StreamResponse:
    """POST /containers/{name}/update"""
    warnings = await engine(request).containers.update(param(request, "name"), await body(request))
    return reply({"Warnings": warnings or None})


async def container_resize(request: web.Request) -> web.StreamResponse:
    """POST /containers/{name}/resize"""
    height, width = number(request, "h"), number(request, "w")
    await engine(request).containers.resize(param(request, "name"), height or 0, width or 0)
    return web.Response(status=200)


async def container_remove(request: web.Request) -> web.StreamResponse:
    """DELETE /containers/{name}"""
    await engine(request).containers.remove(
        param(request, "name"),
        force=flag(request, "force"),
        with_volumes=flag(request, "v"),
        link=flag(request, "link"),
    )
    return no_content()


async def container_commit(request: web.Request) -> web.StreamResponse:
    """POST /commit"""
    query = request.query
    wish = Wish(
        container=query.get("container", ""),
        config=await body(request, required=False),
        repository=query.get("repo", ""),
        tag=query.get("tag", ""),
        comment=query.get("comment", ""),
        author=query.get("author", ""),
        changes=query.getall("changes", []),
        pause=flag(request, "pause", True),
    )
    return reply({"Id": await engine(request).commits.commit(wish)}, 201)


HANDLERS: dict[str, Handler] = {
    "container_list": container_list,
    "container_create": container_create,
    "container_prune": container_prune,
    "container_inspect": container_inspect,
    "container_top": container_top,
    "container_changes": container_changes,
    "container_start": container_start,
    "container_stop": container_stop,
    "container_restart": container_restart,
    "container_kill": container_kill,
    "container_pause": container_pause,
    "container_unpause": container_unpause,
    "container_rename": container_rename,
    "container_update": container_update,
    "container_commit": container_commit,
    "container_resize": container_resize,
    "container_remove": container_remove,
}
