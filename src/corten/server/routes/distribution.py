"""Handlers that ask a registry about itself: distribution inspect and login."""

from __future__ import annotations

from aiohttp import web

from corten.server import query
from corten.server.request import Handler, body, engine, param, reply


async def distribution_inspect(request: web.Request) -> web.Response:
    """GET /distribution/{name}/json"""
    credentials = query.header(request, "X-Registry-Auth")
    return reply(await engine(request).images.inspect_remote(param(request, "name"), credentials))


async def system_auth(request: web.Request) -> web.Response:
    """POST /auth"""
    status, token = await engine(request).images.login(await body(request))
    return reply({"Status": status, "IdentityToken": token})


HANDLERS: dict[str, Handler] = {
    "distribution_inspect": distribution_inspect,
    "system_auth": system_auth,
}
