"""Handlers that ask a registry about itself: distribution inspect, lists of manifests, login."""

from __future__ import annotations

from aiohttp import web

from corten.server import query
from corten.server.request import Handler, body, engine, flag, param, reply


async def distribution_inspect(request: web.Request) -> web.Response:
    """GET /distribution/{name}/json"""
    credentials = query.header(request, "X-Registry-Auth")
    return reply(await engine(request).images.inspect_remote(param(request, "name"), credentials))


async def manifest_inspect(request: web.Request) -> web.Response:
    """GET /corten/manifests/{name}?verbose=…&insecure=…: ours, for `corten manifest`; see docs/registries.md."""
    credentials = query.header(request, "X-Registry-Auth")
    insecure, verbose = flag(request, "insecure"), flag(request, "verbose")
    found = engine(request).images.inspect_manifest(
        param(request, "name"), credentials, insecure=insecure, verbose=verbose
    )
    return reply(await found)


async def manifest_push(request: web.Request) -> web.Response:
    """POST /corten/manifests/{name}?insecure=…"""
    credentials = query.header(request, "X-Registry-Auth")
    wanted, name = await body(request), param(request, "name")
    insecure = flag(request, "insecure")
    return reply(await engine(request).images.push_manifests(name, wanted, credentials, insecure=insecure))


async def system_auth(request: web.Request) -> web.Response:
    """POST /auth"""
    status, token = await engine(request).images.login(await body(request))
    return reply({"Status": status, "IdentityToken": token})


HANDLERS: dict[str, Handler] = {
    "distribution_inspect": distribution_inspect,
    "manifest_inspect": manifest_inspect,
    "manifest_push": manifest_push,
    "system_auth": system_auth,
}
