"""The HTTP application: one dispatcher over the table of ``api/routes.py``.

Owns: version prefixes, the headers of every answer, 404 for unknown paths, 501 for rows that nobody serves, and what
a daemon that is no swarm manager answers.  Knows nothing of any one operation; those are in ``server/routes/``.
"""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import Mapping

from aiohttp import web

from corten import __version__
from corten.api.routes import ROUTES, SWARM_GROUPS, Match, match
from corten.api.version import CURRENT, split_prefix
from corten.engine.engine import Engine
from corten.errors import NotImplementedYet, Unavailable
from corten.server import faults
from corten.server.request import Call, Handler, remember, reply

# Larger bodies (build contexts, archives, images) are read as streams and do not pass here.
JSON_LIMIT = 16 << 20

log = logging.getLogger(__name__)

# Operations that are cancelled when the client goes away.
STREAMS = frozenset(
    {
        "build_grpc",
        "build_session",
        "build_start",
        "container_attach",
        "container_attach_websocket",
        "container_export",
        "container_logs",
        "container_stats",
        "container_wait",
        "event_stream",
        "exec_start",
        "image_create",
        "image_push",
        "image_save",
        "image_save_many",
    }
)

HEADERS = {
    "Api-Version": str(CURRENT),
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": f"Corten/{__version__} (linux; {platform.machine()})",
}

_NOT_A_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)


def make_app(engine: Engine, *tables: Mapping[str, Handler]) -> web.Application:
    """The application that serves ``engine`` with the handlers of all ``tables``."""
    handlers = _merge(tables)

    async def dispatch(request: web.Request) -> web.StreamResponse:
        try:
            wanted, path = split_prefix(request.path)
            found = match(request.method, path)
            if found is None or found.route.since > wanted:
                return _dress(reply({"message": "page not found"}, 404))
            remember(request, Call(engine, wanted, found))
            response = await _serve(_handler(handlers, found), found.route.name, request)
        except asyncio.CancelledError:
            raise
        except ConnectionError:
            raise
        except Exception as error:
            response = faults.answer(error, f"{request.method} {request.path}")
        return _dress(response)

    app = web.Application(client_max_size=JSON_LIMIT)
    app.router.add_route("*", "/{path:.*}", dispatch)
    app.on_response_prepare.append(_dress_early)
    return app


async def _serve(handler: Handler, name: str, request: web.Request) -> web.StreamResponse:
    """Streams end with their client; anything else is carried through even if nobody waits for its answer."""
    if name in STREAMS:
        return await handler(request)
    work = asyncio.ensure_future(handler(request))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        work.add_done_callback(_forget)
        raise


def _forget(work: asyncio.Future[web.StreamResponse]) -> None:
    if not work.cancelled() and (error := work.exception()):
        log.info("after the client left: %s", error)


def _merge(tables: tuple[Mapping[str, Handler], ...]) -> dict[str, Handler]:
    names = {route.name for route in ROUTES}
    handlers: dict[str, Handler] = {}
    for table in tables:
        for name, handler in table.items():
            if name not in names or name in handlers:
                raise ValueError(f"handler {name!r} has no row in the route table, or two modules serve it")
            handlers[name] = handler
    return handlers


def _handler(handlers: Mapping[str, Handler], found: Match) -> Handler:
    route = found.route
    if handler := handlers.get(route.name):
        return handler
    if route.group in SWARM_GROUPS and route.name not in ("swarm_init", "swarm_join"):
        raise Unavailable("This node is not part of a swarm" if route.name == "swarm_leave" else _NOT_A_MANAGER)
    raise NotImplementedYet(f"{route.method} {route.path} is not implemented by this engine")


def _dress(response: web.StreamResponse) -> web.StreamResponse:
    if not response.prepared:
        response.headers.update(HEADERS)
    return response


async def _dress_early(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
