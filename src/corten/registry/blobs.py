"""Pulling and deleting blobs: ``/v2/<name>/blobs/<digest>``.

Owns: ranges, conditions, and sendfile.  Pushing is in uploads.py.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from corten.errors import Invalid
from corten.registry.call import Call, Happening
from corten.registry.faults import Refused
from corten.registry.repositories import blob_key
from corten.spec.digest import Digest
from corten.spec.distribution import ByteRange, ErrorCode

_SMALL = 64 * 1024
_CHUNK = 1 << 20


async def pull(call: Call) -> web.StreamResponse:
    """GET and HEAD."""
    digest = call.digest()
    size = await call.repository.blob_size(digest)
    if size is None:
        answered = await call.parts.upstream.blob(call, digest) if call.parts.upstream else None
        if answered is None:
            raise Refused(ErrorCode.BLOB_UNKNOWN, detail={"digest": str(digest)})
        return answered
    if call.is_head and not call.parts.options.read_only:
        await call.repository.keep_blob(digest)  # a push may be about to rely on it
    headers = {
        "Docker-Content-Digest": str(digest),
        "ETag": f'"{digest}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "max-age=31536000",
        "Content-Type": "application/octet-stream",
    }
    if is_unchanged(call.request, digest):
        return web.Response(status=304, headers=headers)
    span = _range(call.request, digest, size)
    if span is not None:
        headers["Content-Range"] = f"bytes {span}/{size}"
    first, length = (span.first, span.size) if span else (0, size)
    if not call.is_head:
        call.tell(Happening("pull", call.endpoint.name, digest, size=size))
    try:
        return await _send(call, digest, first, length, status=206 if span else 200, headers=headers)
    except FileNotFoundError as error:  # collected just now
        raise Refused(ErrorCode.BLOB_UNKNOWN, detail={"digest": str(digest)}) from error


async def delete(call: Call) -> web.StreamResponse:
    """DELETE: the repository no longer holds the blob; the bytes go when nobody does."""
    digest = call.digest()
    users = await call.repository.users_of(digest)
    if users:
        raise Refused(
            ErrorCode.UNSUPPORTED,
            f"blob is needed by manifest {users[0]}: delete that first",
            detail={"manifests": [str(user) for user in users]},
        )
    async with call.parts.repositories.driver.exclusive():
        found = await call.repository.unlink_blob(digest)
    if not found:
        raise Refused(ErrorCode.BLOB_UNKNOWN, detail={"digest": str(digest)})
    call.tell(Happening("delete", call.endpoint.name, digest))
    return web.Response(status=202)


def is_unchanged(request: web.Request, digest: Digest) -> bool:
    """Whether ``If-None-Match`` names what we would send."""
    condition = request.headers.get("If-None-Match")
    if condition is None:
        return False
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in condition.split(",")]
    return str(digest) in tags or "*" in tags


def _range(request: web.Request, digest: Digest, size: int) -> ByteRange | None:
    header = request.headers.get("Range")
    condition = request.headers.get("If-Range")
    if header is None or (condition is not None and condition.strip('"') != str(digest)):
        return None
    try:
        return ByteRange.parse_request(header, size)
    except Invalid as error:
        raise Refused(
            ErrorCode.UNSUPPORTED, str(error), status=416, headers={"Content-Range": f"bytes */{size}"}
        ) from error


async def _send(
    call: Call, digest: Digest, first: int, length: int, *, status: int, headers: dict[str, str]
) -> web.StreamResponse:
    driver, key = call.parts.repositories.driver, blob_key(digest)
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = length
    if call.is_head or length == 0:
        await response.prepare(call.request)
        return response
    path = driver.path(key)
    if path is None:
        async for data in driver.stream(key, first, length):
            if not response.prepared:  # only now: a blob that vanished is a 404, not half a body
                await response.prepare(call.request)
            await response.write(data)
    elif length <= _SMALL:
        with path.open("rb") as file:
            file.seek(first)
            return web.Response(status=status, body=file.read(length), headers=headers)
    else:
        with path.open(
            "rb"
        ) as file:  # opened before the headers go: a blob that vanishes now is a 404, not half a body
            await response.prepare(call.request)
            if call.request.transport is None:
                raise ConnectionResetError("the client has gone")
            await asyncio.get_running_loop().sendfile(call.request.transport, file, first, length)
    await response.write_eof()
    return response
