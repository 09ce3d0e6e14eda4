"""Handlers of the Image group, and of the two that ask a registry: distribution inspect is in distribution.py."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from corten.api import progress
from corten.api.filters import Filters
from corten.errors import CortenError, Denied, Invalid
from corten.server import lines, outflows, query
from corten.server.request import Handler, engine, filters, flag, number, param, reply, since
from corten.spec.platform import Platform

TAR = "application/x-tar"

# docker: `FROM scratch` means no image, so no image may be called so.
RESERVED = "scratch"


async def image_list(request: web.Request) -> web.Response:
    """GET /images/json"""
    asked = filters(request)
    if not since(request, 41) and (pattern := request.query.get("filter")):
        asked = Filters({**asked.fields, "reference": (*asked.get("reference"), pattern)})
    rows = engine(request).images.list(
        asked,
        all=flag(request, "all"),
        shared_size=since(request, 42) and flag(request, "shared-size"),
        manifests=since(request, 47) and flag(request, "manifests"),
    )
    return reply([_older_summary(request, row) for row in rows])


def _older_summary(request: web.Request, row: dict[str, Any]) -> dict[str, Any]:
    if not since(request, 43) and not row["RepoTags"] and not row["RepoDigests"]:
        row |= {"RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]}
    if not since(request, 44):
        row["VirtualSize"] = row["Size"]
    if not since(request, 48):
        row.pop("Descriptor", None)
    return row


async def image_inspect(request: web.Request) -> web.Response:
    """GET /images/{name}/json"""
    manifests = since(request, 48) and flag(request, "manifests")
    platform = query.platform(request) if since(request, 49) else None
    if manifests and platform is not None:
        raise Invalid("conflicting options: manifests and platform options cannot both be set")
    view = engine(request).images.inspect(param(request, "name"), manifests=manifests, platform=platform)
    return reply(_older_inspect(request, view))


# docker: what `Config` of an image had before 1.50, though an image decides none of it.
_OLDER_CONFIG: dict[str, Any] = {
    "Hostname": "",
    "Domainname": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Image": "",
}


def _older_inspect(request: web.Request, view: dict[str, Any]) -> dict[str, Any]:
    if not since(request, 50):
        view["Config"] = _OLDER_CONFIG | view["Config"]
    if not since(request, 48):
        view.pop("Descriptor", None)
    if not since(request, 45):
        view |= {"Container": "", "ContainerConfig": dict(view["Config"])}
    if not since(request, 44):
        view["VirtualSize"] = view["Size"]
        view.setdefault("Created", "0001-01-01T00:00:00Z")
    return view


async def image_history(request: web.Request) -> web.Response:
    """GET /images/{name}/history"""
    platform = query.platform(request) if since(request, 48) else None
    return reply(engine(request).images.history(param(request, "name"), platform=platform))


async def image_tag(request: web.Request) -> web.Response:
    """POST /images/{name}/tag"""
    repository, tag = request.query.get("repo", ""), request.query.get("tag", "")
    engine(request).images.tag(param(request, "name"), repository, tag)
    return web.Response(status=201)


async def image_remove(request: web.Request) -> web.Response:
    """DELETE /images/{name}"""
    name = param(request, "name")
    if not name.strip():
        raise Invalid("image name cannot be blank")
    platforms = query.platforms(request) if since(request, 50) else ()
    gone = engine(request).images.remove(
        name,
        force=flag(request, "force"),
        prune=not flag(request, "noprune"),
        platforms=platforms,
    )
    return reply(gone)


async def image_prune(request: web.Request) -> web.Response:
    """POST /images/prune"""
    gone, reclaimed = engine(request).images.prune(filters(request))
    return reply({"ImagesDeleted": gone or None, "SpaceReclaimed": reclaimed})


async def image_search(request: web.Request) -> web.Response:
    """GET /images/search"""
    limit = number(request, "limit")
    if limit is not None and limit < 0:
        raise Invalid("invalid limit specified")
    term, credentials = request.query.get("term", ""), query.header(request, "X-Registry-Auth")
    return reply(await engine(request).images.search(term, limit or 0, filters(request), credentials))


async def image_create(request: web.Request) -> web.StreamResponse:
    """POST /images/create: a pull with ``fromImage``, else an import."""
    name = request.query.get("fromImage", "")
    wanted = request.query.get("platform", "") if since(request, 32) else ""
    platform = Platform.parse(wanted) if wanted else None
    if not name:
        return await _import(request, platform)
    images = engine(request).images
    reference = images.pull_reference(name.removesuffix(":"), request.query.get("tag", ""))
    if reference.familiar_name == RESERVED:
        raise Denied(f"'{RESERVED}' is a reserved name")
    credentials = query.header(request, "X-Registry-Auth")

    async def job(pipe: lines.Pipe) -> None:
        await images.pull(reference, platform, credentials, progress.ProgressLines(pipe.write))

    return await lines.answer(request, job)


async def _import(request: web.Request, platform: Platform | None) -> web.StreamResponse:
    images = engine(request).images
    source = request.query.get("fromSrc", "")
    wanted = images.import_request(
        source=source,
        repository=request.query.get("repo", ""),
        tag=request.query.get("tag", ""),
        message=request.query.get("message", "") or f"Imported from {source}",
        changes=request.query.getall("changes", []),
        platform=platform,
    )

    async def job(pipe: lines.Pipe) -> None:
        reporter = progress.ProgressLines(pipe.write)
        image = await images.import_image(wanted, lines.chunks(request), reporter)
        reporter.message(image)

    return await lines.answer(request, job)


async def image_load(request: web.Request) -> web.StreamResponse:
    """POST /images/load"""
    platform = query.platform(request) if since(request, 48) else None
    quiet = flag(request, "quiet", True)
    images = engine(request).images

    async def job(pipe: lines.Pipe) -> None:
        reporter = progress.ProgressLines(pipe.write)
        try:
            said = await images.load(lines.chunks(request), reporter, quiet=quiet, platform=platform)
        except CortenError as failure:
            # docker: a load answers 200 in any case; what failed is told in the stream.
            pipe.write(progress.error(failure.message))
            return
        for sentence in said:
            pipe.write(progress.stream(sentence + "\n"))

    return await lines.answer(request, job)


async def image_save(request: web.Request) -> web.StreamResponse:
    """GET /images/{name}/get"""
    return await _save(request, [param(request, "name")])


async def image_save_many(request: web.Request) -> web.StreamResponse:
    """GET /images/get"""
    return await _save(request, request.query.getall("names", []))


async def _save(request: web.Request, names: list[str]) -> web.StreamResponse:
    platform = query.platform(request) if since(request, 48) else None
    images = engine(request).images
    async with images.save(names, platform=platform) as outflow:
        return await outflows.answer(request, outflow.fd, outflow.size, TAR)


async def image_push(request: web.Request) -> web.StreamResponse:
    """POST /images/{name}/push"""
    platform = query.platform(request) if since(request, 46) else None
    images = engine(request).images
    wanted = images.push_reference(param(request, "name"), request.query.get("tag", ""))
    credentials = query.header(request, "X-Registry-Auth")

    async def job(pipe: lines.Pipe) -> None:
        def tell(result: dict[str, Any]) -> None:
            pipe.write(progress.encode({"progressDetail": {}, "aux": result}))

        await images.push(wanted, platform, credentials, progress.ProgressLines(pipe.write), tell)

    return await lines.answer(request, job)


async def image_files(request: web.Request) -> web.StreamResponse:
    """GET /corten/images/{name}/files: what `build --output type=local` writes.  Ours, see docs/builds.md."""
    pieces = engine(request).images.files(param(request, "name"))

    async def job(pipe: lines.Pipe) -> None:
        async for piece in pieces:
            await pipe.send(piece)

    return await lines.answer(request, job, TAR)


async def image_changes(request: web.Request) -> web.Response:
    """GET /corten/images/{name}/changes?since=…: what `image diff` shows.  Ours."""
    return reply(await engine(request).images.changes(param(request, "name"), request.query.get("since", "")))


HANDLERS: dict[str, Handler] = {
    "image_list": image_list,
    "image_inspect": image_inspect,
    "image_history": image_history,
    "image_tag": image_tag,
    "image_remove": image_remove,
    "image_prune": image_prune,
    "image_search": image_search,
    "image_create": image_create,
    "image_load": image_load,
    "image_save": image_save,
    "image_save_many": image_save_many,
    "image_push": image_push,
    "image_files": image_files,
    "image_changes": image_changes,
}
