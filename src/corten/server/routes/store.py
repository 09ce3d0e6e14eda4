"""Looking after the store, /corten/store: parse, call, print.  Not Docker's API but ours; see docs/storage.md."""

from __future__ import annotations

from aiohttp import web

from corten.server.request import Handler, engine, flag, number, reply


async def store_check(request: web.Request) -> web.Response:
    """POST /corten/store/check?quick=…&repair=…"""
    quick, repair = flag(request, "quick"), flag(request, "repair")
    return reply(await engine(request).upkeep.check(deep=not quick, repair=repair))


async def store_budget(request: web.Request) -> web.Response:
    """GET /corten/store/budget?ceiling=…&floor=…: what would go, and why"""
    return reply(await engine(request).budget.report(number(request, "ceiling"), number(request, "floor")))


async def store_enforce(request: web.Request) -> web.Response:
    """POST /corten/store/budget?ceiling=…&floor=…: what went, and why"""
    return reply(await engine(request).budget.enforce(number(request, "ceiling"), number(request, "floor")))


HANDLERS: dict[str, Handler] = {
    "store_check": store_check,
    "store_budget": store_budget,
    "store_enforce": store_enforce,
}
