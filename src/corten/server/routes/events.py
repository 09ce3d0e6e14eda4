"""GET /events: parse, call, print."""

from __future__ import annotations

import json

from aiohttp import web

from corten.api.times import moment
from corten.engine.events import FILTERS
from corten.server.request import Handler, engine, filters


def _nanoseconds(text: str | None) -> int | None:
    if not text:
        return None
    whole, dot, fraction = text.partition(".")
    if whole.isdecimal() and (not dot or fraction.isdecimal()):
        # Exact: a float has no room for today's nanoseconds.
        return int(whole) * 10**9 + int((fraction + "0" * 9)[:9])
    return int(moment(text) * 1e9)


async def event_stream(request: web.Request) -> web.StreamResponse:
    """GET /events"""
    wanted = filters(request).only(FILTERS)
    since_ns, until_ns = (_nanoseconds(request.query.get(name)) for name in ("since", "until"))
    subscription = engine(request).events.subscribe(wanted, since_ns, until_ns)
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    try:
        await response.prepare(request)
        async for event in subscription:
            await response.write(json.dumps(event.to_json(), separators=(",", ":")).encode() + b"\n")
        await response.write_eof()
    finally:
        subscription.close()
    return response


HANDLERS: dict[str, Handler] = {"event_stream": event_stream}
