"""Handlers of the Engine API, a module a noun: each parses, calls the engine and prints.

A module lists what it serves in ``HANDLERS``: the name of a row of ``api/routes.py`` to a coroutine.  ``TABLES`` is the
list of all of them, which ``server/app.py`` serves.
"""

from __future__ import annotations

from collections.abc import Mapping

from corten.server.request import Handler
from corten.server.routes import (
    build,
    buildkit,
    container_streams,
    containers,
    distribution,
    events,
    exec,
    images,
    networks,
    store,
    system,
    usage,
    volumes,
    watch,
)

TABLES: tuple[Mapping[str, Handler], ...] = (
    containers.HANDLERS,
    container_streams.HANDLERS,
    exec.HANDLERS,
    events.HANDLERS,
    system.HANDLERS,
    images.HANDLERS,
    distribution.HANDLERS,
    build.HANDLERS,
    buildkit.HANDLERS,
    networks.HANDLERS,
    volumes.HANDLERS,
    usage.HANDLERS,
    store.HANDLERS,
    watch.HANDLERS,
)
