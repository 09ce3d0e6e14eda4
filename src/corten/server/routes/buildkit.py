"""Handlers of BuildKit's two upgrades: a client calls us on one connection and serves us on another."""

from __future__ import annotations

import base64

from aiohttp import web

from corten.api import progress
from corten.buildkit.service import Direct
from corten.engine.builds.buildkit.options import attributes as attributes_of
from corten.errors import Invalid, NotImplementedYet
from corten.server import buildquery, lines, query, upgrade
from corten.server.request import Handler, engine

PROTOCOL = "h2c"
_ID, _KEY = "X-Docker-Expose-Session-Uuid", "X-Docker-Expose-Session-Sharedkey"
_METHOD = "X-Docker-Expose-Session-Grpc-Method"
_TRACE, _IMAGE = "moby.buildkit.trace", "moby.image.id"


async def build_grpc(request: web.Request) -> web.StreamResponse:
    """POST /grpc"""
    upgrade.require(request, PROTOCOL)
    server = engine(request).buildkit.serving()
    handover = upgrade.switch(request, PROTOCOL, server.connection)
    try:
        await server.wait()
    finally:
        server.connection.close()
    return handover.finish()


async def build_session(request: web.Request) -> web.StreamResponse:
    """POST /session"""
    upgrade.require(request, PROTOCOL)
    buildkit, headers = engine(request).buildkit, request.headers
    buildkit.sessions.expect(headers.get(_ID, ""))
    connection = buildkit.calling()
    handover = upgrade.switch(request, PROTOCOL, connection)
    try:
        await buildkit.keep(headers[_ID], headers.get(_KEY, ""), headers.getall(_METHOD, []), connection)
    finally:
        connection.close()
    return handover.finish()


async def build_traced(request: web.Request) -> web.StreamResponse:
    """POST /build with version=2: older clients get BuildKit's progress inside of JSON lines."""
    wanted, buildkit = _direct(request), engine(request).buildkit

    async def job(pipe: lines.Pipe) -> None:
        def tell(message: bytes) -> None:
            pipe.write(progress.encode({"id": _TRACE, "aux": base64.b64encode(message).decode()}))

        if image := await buildkit.run(wanted, tell):
            pipe.write(progress.encode({"id": _IMAGE, "aux": {"ID": image}}))

    return await lines.answer(request, job)


def _direct(request: web.Request) -> Direct:
    options = buildquery.options(request)
    if options.remote == "upload-request" or options.build_id.startswith("upload-request:"):
        raise NotImplementedYet("contexts that are uploaded beside the build are not served: use docker buildx build")
    session = request.query.get("session", "")
    if not session:
        raise Invalid("a build with version=2 needs a session")
    exporters = []
    for output in query.listed(request, "outputs", "invalid outputs specified") or ({"Type": "moby"},):
        attributes = dict(output.get("Attrs") or {})
        if output.get("Type") in ("moby", "image"):
            attributes["name"] = ",".join(options.tags) or attributes.get("name", "")
        if output.get("Type") != "cacheonly":
            exporters.append((str(output.get("Type")), attributes))
    allowed = ("network.host",) if options.network == "host" else ()
    return Direct(attributes_of(options), session, exporters, allowed)


HANDLERS: dict[str, Handler] = {"build_grpc": build_grpc, "build_session": build_session}
