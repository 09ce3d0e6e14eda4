"""Handlers of BuildKit's two upgrades: a client calls us on one connection and serves us on another."""

from __future__ import annotations

from aiohttp import web

from corten.server import upgrade
from corten.server.request import Handler, engine

PROTOCOL = "h2c"
_ID, _KEY = "X-Docker-Expose-Session-Uuid", "X-Docker-Expose-Session-Sharedkey"
_METHOD = "X-Docker-Expose-Session-Grpc-Method"


async def build_grpc(request: web.Request) -> web.StreamResponse:
    """POST /grpc"""
    upgrade.require(request, PROTOCOL)
    server = engine(request).buildkit.serving()
    handover = upgrade.switch(request, PROTOCOL, server.connection)
    try:
        await server.wait()
    finally:
        server.connection.close()
    return handover.finish()


async def build_session(request: web.Request) -> web.StreamResponse:
    """POST /session"""
    upgrade.require(request, PROTOCOL)
    buildkit, headers = engine(request).buildkit, request.headers
    buildkit.sessions.expect(headers.get(_ID, ""))
    connection = buildkit.calling()
    handover = upgrade.switch(request, PROTOCOL, connection)
    try:
        await buildkit.keep(headers[_ID], headers.get(_KEY, ""), headers.getall(_METHOD, []), connection)
    finally:
        connection.close()
    return handover.finish()


HANDLERS: dict[str, Handler] = {"build_grpc": build_grpc, "build_session": build_session}
