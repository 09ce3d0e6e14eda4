"""Handlers of the classic builder."""

from __future__ import annotations

from aiohttp import web

from corten.api import progress
from corten.engine.builds.options import BuildFailed
from corten.errors import CortenError, Invalid
from corten.server import buildquery, lines
from corten.server.buildlines import Reporter, StepReporter
from corten.server.request import Handler, engine, filters, flag, number, param, reply, since
from corten.server.routes.buildkit import build_traced


async def build_start(request: web.Request) -> web.StreamResponse:
    """POST /build"""
    if request.query.get("version") == "2":
        return await build_traced(request)
    options = buildquery.options(request)
    builds = engine(request).builds
    body = await buildquery.sent(request)

    async def job(pipe: lines.Pipe) -> None:
        reporter = _reporter(request, pipe, quiet=options.quiet)
        try:
            image = await builds.build(options, body, reporter)
        except BuildFailed as failure:
            reporter.flush()
            pipe.write(progress.error(_words(reporter, failure), failure.status))
            return
        except CortenError as failure:
            reporter.flush()
            failure.message = _words(reporter, failure)
            raise
        if options.quiet and image:
            pipe.write(progress.stream(f"{image}\n"))

    return await lines.answer(request, job)


def _reporter(request: web.Request, pipe: lines.Pipe, *, quiet: bool) -> Reporter:
    if flag(request, "steps"):
        return StepReporter(pipe, quiet=quiet)
    return Reporter(pipe, wants_aux=since(request, 30), quiet=quiet)


def _words(reporter: Reporter, failure: CortenError) -> str:
    """docker: says what failed; who watches the steps is shown the lines of the Dockerfile as well."""
    if isinstance(reporter, StepReporter) and failure.hint:
        return f"{failure.hint}\n{failure.message}"
    return failure.message


async def build_prune(request: web.Request) -> web.Response:
    """POST /build/prune"""
    if since(request, 48):
        keep = number(request, "reserved-space") or number(request, "keep-storage") or 0
        ceiling, floor = number(request, "max-used-space") or 0, number(request, "min-free-space") or 0
    else:
        keep, ceiling, floor = number(request, "keep-storage") or 0, 0, 0
    gone, reclaimed = engine(request).builds.prune(
        filters(request), all=flag(request, "all"), keep=keep, ceiling=ceiling, floor=floor
    )
    return reply({"CachesDeleted": gone or None, "SpaceReclaimed": reclaimed})


async def build_cancel(request: web.Request) -> web.Response:
    """POST /build/cancel"""
    build_id = request.query.get("id", "")
    if not build_id:
        raise Invalid("build ID not provided")
    engine(request).builds.cancel(build_id)
    return web.Response()


async def build_cache(request: web.Request) -> web.StreamResponse:
    """GET /corten/builds/{id}/cache: what `build --cache-to type=local` writes.  Ours, see docs/builds.md."""
    pieces = engine(request).builds.cache_of(param(request, "id"))

    async def job(pipe: lines.Pipe) -> None:
        async for piece in pieces:
            await pipe.send(piece)

    return await lines.answer(request, job, "application/x-tar")


HANDLERS: dict[str, Handler] = {
    "build_start": build_start,
    "build_prune": build_prune,
    "build_cancel": build_cancel,
    "build_cache": build_cache,
}
