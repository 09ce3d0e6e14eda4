"""Looking after the store, /corten/store: parse, call, print.  Not Docker's API but ours; see docs/storage.md."""

from __future__ import annotations

from aiohttp import web

from corten.server.request import Handler, engine, flag, reply


async def store_check(request: web.Request) -> web.Response:
    """POST /corten/store/check?quick=…&repair=…"""
    quick, repair = flag(request, "quick"), flag(request, "repair")
    return reply(await engine(request).upkeep.check(deep=not quick, repair=repair))


HANDLERS: dict[str, Handler] = {"store_check": store_check}
