"""The handler of GET /system/df."""

from __future__ import annotations

from aiohttp import web

from corten.server.request import Handler, engine, reply, since


async def system_usage(request: web.Request) -> web.Response:
    """GET /system/df"""
    kinds = request.query.getall("type", []) if since(request, 42) else []
    report = await engine(request).usage.report(kinds)
    if not since(request, 44):
        for row in report["Images"] or ():
            row["VirtualSize"] = row["Size"]
    if not since(request, 42):
        report["BuilderSize"] = sum(row["Size"] for row in report["BuildCache"] or ())
    return reply(report)


HANDLERS: dict[str, Handler] = {"system_usage": system_usage}
