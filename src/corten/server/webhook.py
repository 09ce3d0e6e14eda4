"""The address for registries' webhooks: one path, a token, nothing else of the API.

Owns: the application behind ``--watch-listen``.  Whoever may call the API may do everything on this machine, a registry
shall not; so what it calls is another socket.
"""

from __future__ import annotations

import hmac

from aiohttp import web

from corten.engine.engine import Engine
from corten.errors import CortenError
from corten.server import faults
from corten.server.request import reply
from corten.server.routes.watch import notice

PATH = "/corten/watch/notify"
_BODY_LIMIT = 1 << 20


def make_webhook_app(engine: Engine, token: str) -> web.Application:
    """The application; callers show ``Authorization: Bearer <token>``."""
    expected = f"Bearer {token}".encode()

    async def notify(request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, expected):
            return reply({"message": "the webhook's token is missing or wrong"}, 401)
        try:
            return reply({"Concerned": engine.watch.notify(await notice(request))})
        except CortenError as error:
            return faults.answer(error, f"POST {PATH}")

    app = web.Application(client_max_size=_BODY_LIMIT)
    app.router.add_post(PATH, notify)
    return app
