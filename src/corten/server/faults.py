"""A failure becomes an answer: the only place where an exception turns into a status and a message."""

from __future__ import annotations

import logging

from aiohttp import web

from corten.api import faults
from corten.errors import CortenError, NotModified
from corten.server.request import reply

log = logging.getLogger(__name__)


def answer(error: Exception, where: str) -> web.Response:
    """The answer that tells a failure; what is no failure of ours is logged with its trace."""
    if isinstance(error, NotModified):
        return web.Response(status=304)
    if isinstance(error, CortenError):
        return reply(faults.body_of(error), faults.status_of(error))
    log.error("%s failed", where, exc_info=error)
    return reply({"message": f"{type(error).__name__}: {error}"}, 500)
