"""Manifests by tag and by digest: ``/v2/<name>/manifests/<reference>``."""

from __future__ import annotations

import asyncio

from aiohttp import web

from corten.registry.blobs import is_unchanged
from corten.registry.call import Call, Happening, parse_digest
from corten.registry.faults import Refused
from corten.registry.manifest import Reading
from corten.spec.digest import Digest
from corten.spec.distribution import Endpoint, ErrorCode, Kind, is_tag


async def pull(call: Call) -> web.StreamResponse:
    """GET and HEAD."""
    reference = _reference(call)
    if call.parts.upstream is not None:
        await call.parts.upstream.manifest(call.repository, reference)
    digest = await call.repository.resolve(reference)
    found = await call.repository.manifest(digest) if digest else None
    if found is None:
        raise Refused(ErrorCode.MANIFEST_UNKNOWN, detail={"Name": call.endpoint.name, "Reference": reference})
    held, data = found
    headers = {
        "Content-Type": held.media_type,
        "Docker-Content-Digest": str(held.digest),
        "ETag": f'"{held.digest}"',
    }
    if is_unchanged(call.request, held.digest):
        return web.Response(status=304, headers=headers)
    if call.is_head:
        headers["Content-Length"] = str(held.size)
        return web.Response(headers=headers)
    tag = None if ":" in reference else reference
    call.tell(Happening("pull", call.endpoint.name, held.digest, held.media_type, held.size, tag))
    return web.Response(body=data, headers=headers)


async def push(call: Call) -> web.StreamResponse:
    """PUT, by tag, or by digest with ``?tag=`` for the tags that it shall have."""
    reference = _reference(call)
    tags = [reference] if ":" not in reference else call.request.query.getall("tag", [])
    for tag in tags:
        if not is_tag(tag):
            raise Refused(ErrorCode.MANIFEST_INVALID, f"invalid tag {tag[:140]!r}")
    data = await _body(call)
    named = parse_digest(reference) if ":" in reference else None
    digest = Digest.of(data, named.algorithm if named else "sha256")
    if named is not None and digest != named:
        raise Refused(ErrorCode.DIGEST_INVALID, detail={"digest": str(named), "actual": str(digest)})
    reading = Reading.of(data, call.request.headers.get("Content-Type", ""))
    await call.parts.quotas.check(call.repository, 0)
    await call.repository.put_manifest(reading, digest, tags)
    headers = {
        "Location": str(Endpoint(Kind.MANIFEST, call.endpoint.name, str(digest))),
        "Docker-Content-Digest": str(digest),
    }
    if reading.subject is not None:
        headers["OCI-Subject"] = str(reading.subject)
    if named is not None and tags:
        headers["OCI-Tag"] = ", ".join(tags)
    told: list[str | None] = [*tags] or [None]
    for named_tag in told:
        call.tell(Happening("push", call.endpoint.name, digest, reading.media_type, len(data), named_tag))
    return web.Response(status=201, headers=headers)


async def delete(call: Call) -> web.StreamResponse:
    """DELETE of a tag, or of a manifest with all its tags."""
    reference = _reference(call)
    repository = await call.require_repository()
    if ":" in reference:
        digest = parse_digest(reference)
        users = await repository.users_of(digest)
        if users:
            raise Refused(ErrorCode.UNSUPPORTED, f"manifest is part of index {users[0]}: delete that first")
        found = await repository.delete_manifest(digest)
        call.tell(Happening("delete", call.endpoint.name, digest))
    else:
        found = await repository.delete_tag(reference)
        call.tell(Happening("delete", call.endpoint.name, None, tag=reference))
    if not found:
        raise Refused(ErrorCode.MANIFEST_UNKNOWN, detail={"Name": call.endpoint.name, "Reference": reference})
    return web.Response(status=202)


def _reference(call: Call) -> str:
    reference = call.endpoint.argument
    if ":" in reference:
        return str(parse_digest(reference))
    if not is_tag(reference):
        code = ErrorCode.MANIFEST_UNKNOWN if call.request.method in ("GET", "HEAD") else ErrorCode.MANIFEST_INVALID
        raise Refused(code, f"invalid tag {reference[:140]!r}")
    return reference


async def _body(call: Call) -> bytes:
    limit = call.parts.options.max_manifest_size
    data = bytearray()
    if (call.request.content_length or 0) <= limit:
        try:
            async with asyncio.timeout(call.parts.options.stall_timeout):
                while len(data) <= limit and (piece := await call.request.content.readany()):
                    data += piece
        except TimeoutError:
            raise Refused(ErrorCode.MANIFEST_INVALID, "the manifest did not arrive in time", status=408) from None
    if len(data) > limit or (call.request.content_length or 0) > limit:
        raise Refused(ErrorCode.MANIFEST_INVALID, f"manifests may have {limit} bytes", status=413)
    return bytes(data)
