"""/containers/…: what streams: attach, logs, wait, stats, archives, export."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncIterator

from aiohttp import web

from corten.api.times import moment
from corten.engine.containers.attach import LogQuery, Wish
from corten.errors import Invalid
from corten.server.request import Handler, engine, flag, param, reply, since
from corten.server.streams import MULTIPLEXED, RAW, hijack, websocket

_STAT_HEADER = "X-Docker-Container-Path-Stat"


async def _send(request: web.Request, content_type: str, pieces: AsyncIterator[bytes]) -> web.StreamResponse:
    """A streamed answer; the status line waits for the first piece, so that a failure has its own status."""
    response = web.StreamResponse(headers={"Content-Type": content_type})
    async with contextlib.aclosing(pieces) as stream:  # type: ignore[type-var]
        async for data in stream:
            if not response.prepared:
                await response.prepare(request)
            await response.write(data)
    if not response.prepared:
        await response.prepare(request)
    await response.write_eof()
    return response


def _wish(request: web.Request) -> Wish:
    return Wish(
        stdin=flag(request, "stdin"),
        stdout=flag(request, "stdout"),
        stderr=flag(request, "stderr"),
        stream=flag(request, "stream"),
        logs=flag(request, "logs"),
        detach_keys=request.query.get("detachKeys", ""),
    )


async def container_attach(request: web.Request) -> web.StreamResponse:
    """POST /containers/{name}/attach"""
    attachment = engine(request).containers.attach(param(request, "name"), _wish(request))
    return await hijack(request, attachment, multiplexed=since(request, 42))


async def container_attach_websocket(request: web.Request) -> web.StreamResponse:
    """GET /containers/{name}/attach/ws"""
    wish = _wish(request)
    if not since(request, 42):
        # docker: before 1.42 the websocket was attached to every stream.
        wish = Wish(True, True, True, wish.stream, wish.logs, wish.detach_keys)
    return await websocket(request, engine(request).containers.attach(param(request, "name"), wish))


async def container_wait(request: web.Request) -> web.StreamResponse:
    """POST /containers/{name}/wait"""
    condition = request.query.get("condition", "") if since(request, 30) else ""
    waiting = engine(request).containers.wait(param(request, "name"), condition)
    # The headers at once: Docker's client starts the container only when it has them.
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    try:
        await response.prepare(request)
        ending = await waiting
    finally:
        waiting.cancel()
    answer: dict[str, object] = {"StatusCode": ending.status}
    if ending.error:
        answer["Error"] = {"Message": ending.error}
    await response.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
    await response.write_eof()
    return response


async def container_logs(request: web.Request) -> web.StreamResponse:
    """GET /containers/{name}/logs"""
    query = request.query
    tail = query.get("tail", "all")
    wanted = LogQuery(
        stdout=flag(request, "stdout"),
        stderr=flag(request, "stderr"),
        follow=flag(request, "follow"),
        since=_moment(query.get("since")),
        until=_moment(query.get("until")),
        # docker: what is no number means all.
        tail=int(tail) if tail.isdecimal() else None,
        timestamps=flag(request, "timestamps"),
        details=flag(request, "details"),
    )
    is_raw, pieces = engine(request).containers.logs(param(request, "name"), wanted)
    content_type = MULTIPLEXED if since(request, 42) and not is_raw else RAW
    response = web.StreamResponse(headers={"Content-Type": content_type})
    await response.prepare(request)
    async with contextlib.aclosing(pieces) as stream:  # type: ignore[type-var]
        async for data in stream:
            await response.write(data)
    await response.write_eof()
    return response


def _moment(text: str | None) -> float | None:
    return moment(text) if text and text != "0" else None


async def container_stats(request: web.Request) -> web.StreamResponse:
    """GET /containers/{name}/stats"""
    containers, name = engine(request).containers, param(request, "name")
    one_shot = flag(request, "one-shot") and since(request, 41)
    if not flag(request, "stream", True):
        return reply(await containers.stats_once(name, one_shot=one_shot))
    if one_shot:
        raise Invalid("cannot have stream=true and one-shot=true")
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    samples = containers.stats(name)
    await response.prepare(request)
    async with contextlib.aclosing(samples) as stream:  # type: ignore[type-var]
        async for sample in stream:
            await response.write(json.dumps(sample, separators=(",", ":")).encode() + b"\n")
    await response.write_eof()
    return response


async def container_export(request: web.Request) -> web.StreamResponse:
    """GET /containers/{name}/export"""
    return await _send(request, "application/octet-stream", engine(request).containers.export(param(request, "name")))


def _path(request: web.Request) -> str:
    path = request.query.get("path", "")
    if not path:
        raise Invalid("bad parameter: path cannot be empty")
    return path


def _stat_header(found: dict[str, object]) -> str:
    return base64.b64encode(json.dumps(found, separators=(",", ":")).encode()).decode()


async def container_archive_head(request: web.Request) -> web.StreamResponse:
    """HEAD /containers/{name}/archive"""
    found = await engine(request).containers.stat_path(param(request, "name"), _path(request))
    return web.Response(headers={_STAT_HEADER: _stat_header(found)})


async def container_archive_get(request: web.Request) -> web.StreamResponse:
    """GET /containers/{name}/archive"""
    found, pieces = await engine(request).containers.get_archive(param(request, "name"), _path(request))
    response = web.StreamResponse(headers={"Content-Type": "application/x-tar", _STAT_HEADER: _stat_header(found)})
    await response.prepare(request)
    async with contextlib.aclosing(pieces) as stream:  # type: ignore[type-var]
        async for data in stream:
            await response.write(data)
    await response.write_eof()
    return response


async def container_archive_put(request: web.Request) -> web.StreamResponse:
    """PUT /containers/{name}/archive"""
    await engine(request).containers.put_archive(
        param(request, "name"),
        _path(request),
        request.content.iter_any(),
        keep_kinds=flag(request, "noOverwriteDirNonDir"),
        copy_owner=flag(request, "copyUIDGID"),
    )
    return web.Response(status=200)


HANDLERS: dict[str, Handler] = {
    "container_attach": container_attach,
    "container_attach_websocket": container_attach_websocket,
    "container_wait": container_wait,
    "container_logs": container_logs,
    "container_stats": container_stats,
    "container_export": container_export,
    "container_archive_head": container_archive_head,
    "container_archive_get": container_archive_get,
    "container_archive_put": container_archive_put,
}
