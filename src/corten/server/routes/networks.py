"""Handlers of the Network group."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from corten.errors import Invalid
from corten.server.request import Handler, body, engine, filters, flag, no_content, param, reply, since


async def network_list(request: web.Request) -> web.Response:
    """GET /networks"""
    return reply(engine(request).networks.list(filters(request), detailed=not since(request, 28)))


async def network_inspect(request: web.Request) -> web.Response:
    """GET /networks/{name}"""
    scope, verbose = request.query.get("scope", ""), flag(request, "verbose")
    return reply(engine(request).networks.inspect(param(request, "name"), scope=scope, verbose=verbose))


async def network_create(request: web.Request) -> web.Response:
    """POST /networks/create"""
    made = await engine(request).networks.create(await body(request), reads_ipv4=since(request, 48))
    return reply(made, 201)


async def network_remove(request: web.Request) -> web.Response:
    """DELETE /networks/{name}"""
    await engine(request).networks.remove(param(request, "name"))
    return no_content()


async def network_connect(request: web.Request) -> web.Response:
    """POST /networks/{name}/connect"""
    asked = await body(request)
    settings = asked.get("EndpointConfig") or {}
    if not isinstance(settings, Mapping):
        raise Invalid("invalid JSON: EndpointConfig must be an object")
    await engine(request).networks.connect(param(request, "name"), str(asked.get("Container") or ""), settings)
    return web.Response()


async def network_disconnect(request: web.Request) -> web.Response:
    """POST /networks/{name}/disconnect"""
    asked = await body(request)
    container, force = str(asked.get("Container") or ""), bool(asked.get("Force"))
    await engine(request).networks.disconnect(param(request, "name"), container, force=force)
    return web.Response()


async def network_prune(request: web.Request) -> web.Response:
    """POST /networks/prune"""
    gone = await engine(request).networks.prune(filters(request))
    return reply({"NetworksDeleted": gone or None})


async def exposure_list(request: web.Request) -> web.Response:
    """GET /corten/exposures: what is reachable from where; ours, not Docker's"""
    return reply(engine(request).networks.exposures())


HANDLERS: dict[str, Handler] = {
    "network_list": network_list,
    "network_inspect": network_inspect,
    "network_create": network_create,
    "network_remove": network_remove,
    "network_connect": network_connect,
    "network_disconnect": network_disconnect,
    "network_prune": network_prune,
    "exposure_list": exposure_list,
}
