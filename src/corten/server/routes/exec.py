"""POST /containers/{name}/exec and /exec/{id}/…: parse, call, print."""

from __future__ import annotations

from aiohttp import web

from corten.server.request import Handler, body, engine, number, param, reply, since
from corten.server.streams import hijack


async def exec_create(request: web.Request) -> web.StreamResponse:
    """POST /containers/{name}/exec"""
    execs, given = engine(request).execs, await body(request)
    exec_id = execs.create(param(request, "name"), given)
    # The client is answered first: what is prepared takes the processor that would do it.
    return reply({"Id": exec_id}, 201, then=lambda: execs.announce(exec_id))


async def exec_start(request: web.Request) -> web.StreamResponse:
    """POST /exec/{id}/start"""
    given = await body(request, required=False)
    attachment = await engine(request).execs.start(param(request, "id"), given)
    if attachment is None:
        return web.Response(status=200)
    return await hijack(request, attachment, multiplexed=since(request, 42))


async def exec_resize(request: web.Request) -> web.StreamResponse:
    """POST /exec/{id}/resize"""
    await engine(request).execs.resize(param(request, "id"), number(request, "h") or 0, number(request, "w") or 0)
    return web.Response(status=200)


async def exec_inspect(request: web.Request) -> web.StreamResponse:
    """GET /exec/{id}/json"""
    return reply(engine(request).execs.inspect(param(request, "id")))


HANDLERS: dict[str, Handler] = {
    "exec_create": exec_create,
    "exec_start": exec_start,
    "exec_resize": exec_resize,
    "exec_inspect": exec_inspect,
}
