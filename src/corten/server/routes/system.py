"""/_ping, /version, /info, /system/df: parse, call, print."""

from __future__ import annotations

from aiohttp import web

from corten.errors import NotFound
from corten.server.request import Handler, engine, param, reply


async def system_ping(request: web.Request) -> web.StreamResponse:
    """GET and HEAD /_ping"""
    headers = {
        # "1" is the classic builder: without it the client wants buildx, which not everybody has.
        "Builder-Version": "1",
        "Swarm": "inactive",
        "Cache-Control": "no-cache, no-store, must-revalidate",
        "Pragma": "no-cache",
    }
    return web.Response(text="OK" if request.method == "GET" else "", headers=headers)


async def system_version(request: web.Request) -> web.StreamResponse:
    """GET /version"""
    return reply(engine(request).system.version())


async def system_info(request: web.Request) -> web.StreamResponse:
    """GET /info"""
    return reply(engine(request).system.info())


async def plugin_list(request: web.Request) -> web.StreamResponse:
    """GET /plugins: there are none, and none can be installed."""
    return reply([])


async def plugin_absent(request: web.Request) -> web.StreamResponse:
    """Any operation on one plugin: there is none of that name."""
    raise NotFound(f'plugin "{param(request, "name")}" not found')


HANDLERS: dict[str, Handler] = {
    "system_ping": system_ping,
    "system_version": system_version,
    "system_info": system_info,
    "plugin_list": plugin_list,
    "plugin_inspect": plugin_absent,
    "plugin_enable": plugin_absent,
    "plugin_disable": plugin_absent,
    "plugin_remove": plugin_absent,
    "plugin_set": plugin_absent,
    "plugin_push": plugin_absent,
    "plugin_upgrade": plugin_absent,
}
