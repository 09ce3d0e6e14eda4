"""Handlers of the Volume group."""

from __future__ import annotations

from aiohttp import web

from corten.errors import Unavailable
from corten.server.request import Handler, body, engine, filters, flag, no_content, param, reply, since


async def volume_list(request: web.Request) -> web.Response:
    """GET /volumes"""
    return reply(engine(request).volumes.list(filters(request)))


async def volume_inspect(request: web.Request) -> web.Response:
    """GET /volumes/{name}"""
    return reply(engine(request).volumes.inspect(param(request, "name")))


async def volume_create(request: web.Request) -> web.Response:
    """POST /volumes/create"""
    return reply(await engine(request).volumes.create(await body(request)), 201)


async def volume_update(request: web.Request) -> web.Response:
    """PUT /volumes/{name}: only cluster volumes can be updated, and they need a swarm."""
    raise Unavailable("volume update only valid for cluster volumes, but swarm is unavailable")


async def volume_remove(request: web.Request) -> web.Response:
    """DELETE /volumes/{name}"""
    await engine(request).volumes.remove(param(request, "name"), force=flag(request, "force"))
    return no_content()


async def volume_prune(request: web.Request) -> web.Response:
    """POST /volumes/prune"""
    # docker: before 1.42 a prune took named volumes too.
    gone, reclaimed = await engine(request).volumes.prune(filters(request), takes_named=not since(request, 42))
    return reply({"VolumesDeleted": gone, "SpaceReclaimed": reclaimed})


HANDLERS: dict[str, Handler] = {
    "volume_list": volume_list,
    "volume_inspect": volume_inspect,
    "volume_create": volume_create,
    "volume_update": volume_update,
    "volume_remove": volume_remove,
    "volume_prune": volume_prune,
}
