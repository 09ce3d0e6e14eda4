"""Following images, /corten/watch: parse, call, print.  Not Docker's API but ours; see docs/workflow.md."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from corten.errors import Invalid
from corten.server.request import Handler, engine, flag, reply


async def watch_list(request: web.Request) -> web.Response:
    """GET /corten/watch"""
    return reply(engine(request).watch.status())


async def watch_check(request: web.Request) -> web.Response:
    """POST /corten/watch/check?container=…&retry=…: answers when the containers are as they shall be."""
    names = request.query.getall("container", [])
    return reply(await engine(request).watch.check(names, retry=flag(request, "retry")))


async def watch_notify(request: web.Request) -> web.Response:
    """POST /corten/watch/notify: what registries post; answers before anything is done about it."""
    return reply({"Concerned": engine(request).watch.notify(await notice(request))})


async def notice(request: web.Request) -> Any:
    """The JSON of a webhook, whatever Content-Type its registry gives it; raises Invalid."""
    try:
        return json.loads(await request.read())
    except ValueError as error:
        raise Invalid(f"invalid JSON: {error}") from error


HANDLERS: dict[str, Handler] = {
    "watch_list": watch_list,
    "watch_check": watch_check,
    "watch_notify": watch_notify,
}
