"""Pushing blobs: ``/v2/<name>/blobs/uploads/…``: monolithic, chunked with resume, in a single POST, and by mount.

Owns: the life of an upload over HTTP.  A blob becomes visible only after its bytes were hashed and found to be right.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from corten.errors import Conflict, Invalid
from corten.registry.call import Call, Happening
from corten.registry.faults import Refused
from corten.registry.repositories import blob_key
from corten.registry.running import Running, digest_of
from corten.registry.storage.base import Upload
from corten.spec.digest import HEX_LENGTHS, Digest
from corten.spec.distribution import ByteRange, Endpoint, ErrorCode, Kind, is_name

_PIECE = 1 << 20
_TURN_WAIT = 2.0


async def begin(call: Call) -> web.StreamResponse:
    """POST: mount a blob, take one whole, or open an upload."""
    query = call.request.query
    if "mount" in query and (mounted := await _mount(call, call.digest(query["mount"]), query.get("from", ""))):
        return mounted
    await call.parts.quotas.check(call.repository, 0)
    upload_id = uuid.uuid4().hex
    upload = await call.parts.repositories.driver.create_upload(_stored_id(call, upload_id))
    if "digest" in query and "mount" not in query:
        return await _take_whole(call, upload, upload_id, call.digest(query["digest"]))
    await upload.close()
    algorithm = query.get("digest-algorithm", "sha256")
    if algorithm not in HEX_LENGTHS:
        raise Refused(ErrorCode.DIGEST_INVALID, f"unsupported digest algorithm {algorithm[:40]!r}")
    call.parts.hashes.begin(upload_id, algorithm)
    return web.Response(status=202, headers=_progress(call, upload_id, 0))


async def status(call: Call) -> web.StreamResponse:
    """GET: how far the upload is."""
    async with _opened(call) as upload:
        return web.Response(status=204, headers=_progress(call, call.endpoint.argument, upload.offset))


async def append(call: Call) -> web.StreamResponse:
    """PATCH: the next chunk."""
    async with _opened(call) as upload:
        _check_place(call, upload)
        await _receive(call, upload, call.endpoint.argument)
        return web.Response(status=202, headers=_progress(call, call.endpoint.argument, upload.offset))


async def finish(call: Call) -> web.StreamResponse:
    """PUT: the last chunk, if any, and the digest of the whole."""
    digest = call.digest(call.request.query.get("digest", ""))
    async with _opened(call) as upload:
        _check_place(call, upload)
        await _receive(call, upload, call.endpoint.argument)
        return await _commit(call, upload, call.endpoint.argument, digest)


async def cancel(call: Call) -> web.StreamResponse:
    """DELETE: give up."""
    async with _opened(call) as upload:
        await upload.abort()
    call.parts.hashes.forget(call.endpoint.argument)
    return web.Response(status=204)


async def _mount(call: Call, digest: Digest, source: str) -> web.StreamResponse | None:
    """Hold a blob of another repository here too; None where that cannot be, and an upload is opened instead."""
    if not is_name(source) or not call.actor.may(source, "pull"):
        return None
    origin = call.parts.repositories.at(source)
    size = await origin.blob_size(digest)
    if size is None:
        return None
    await call.parts.quotas.check(call.repository, size)
    async with call.parts.repositories.driver.shared():
        if not await call.parts.repositories.driver.touch(blob_key(digest)):
            return None
        await call.repository.link_blob(digest, size)
    call.tell(Happening("mount", call.endpoint.name, digest, size=size, from_repository=source))
    return web.Response(status=201, headers=_located(call, digest))


async def _take_whole(call: Call, upload: Upload, upload_id: str, digest: Digest) -> web.StreamResponse:
    try:
        await _receive(call, upload, upload_id)
        return await _commit(call, upload, upload_id, digest)
    except BaseException:
        await upload.abort()  # the client knows no address to go on at
        raise
    finally:
        call.parts.hashes.forget(upload_id)
        await upload.close()


async def _receive(call: Call, upload: Upload, upload_id: str) -> None:
    """Append the request's body; what arrived before a broken connection is kept, to go on from."""
    start, running = upload.offset, call.parts.hashes.at(upload_id, upload.offset)
    room = await call.parts.quotas.room(call.repository)
    writing: asyncio.Task[None] | None = None
    try:
        async for piece in _pieces(call):
            if writing is not None:
                await writing
            if room is not None and upload.offset + len(piece) > room:
                raise call.parts.quotas.refusal(call.repository)
            writing = asyncio.create_task(_store(upload, running, piece))
        if writing is not None:
            await writing
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):  # give the room back
            await upload.truncate(start)
            call.parts.hashes.forget(upload_id)
        raise
    finally:
        if writing is not None:
            await asyncio.wait([writing])
    length = call.request.content_length
    if length is not None and upload.offset - start != length:
        raise Refused(ErrorCode.SIZE_INVALID, f"{upload.offset - start} bytes came, {length} were announced")


async def _store(upload: Upload, running: Running | None, piece: bytes) -> None:
    """Write and hash at the same time, each in a thread."""
    if running is None:
        await upload.append(piece)
    else:
        await asyncio.gather(upload.append(piece), asyncio.to_thread(running.update, piece))


async def _pieces(call: Call) -> AsyncIterator[bytes]:
    """The body in pieces of about a megabyte; a client that stalls is let go."""
    content, stall = call.request.content, call.parts.options.stall_timeout
    buffer = bytearray()
    while True:
        try:
            async with asyncio.timeout(stall):
                data = await content.readany()
        except TimeoutError:
            raise Refused(ErrorCode.BLOB_UPLOAD_INVALID, f"no data came for {stall:g} seconds", status=408) from None
        if not data:
            break
        buffer += data
        if len(buffer) >= _PIECE:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)


async def _commit(call: Call, upload: Upload, upload_id: str, digest: Digest) -> web.StreamResponse:
    running = call.parts.hashes.at(upload_id, upload.offset)
    if running is not None and running.algorithm == digest.algorithm:
        actual = running.digest()
    else:
        actual = await digest_of(upload, digest.algorithm)
    call.parts.hashes.forget(upload_id)
    if actual != digest:
        await upload.abort()
        raise Refused(ErrorCode.DIGEST_INVALID, detail={"digest": str(digest), "actual": str(actual)})
    size = upload.offset
    await call.parts.quotas.check(call.repository, size)
    async with call.parts.repositories.driver.shared():
        await upload.commit(blob_key(digest))
        await call.repository.link_blob(digest, size)
    call.tell(Happening("push", call.endpoint.name, digest, size=size))
    return web.Response(status=201, headers=_located(call, digest))


def _check_place(call: Call, upload: Upload) -> None:
    """A chunk with a Content-Range must begin where the last one ended."""
    header = call.request.headers.get("Content-Range")
    if not header or (call.request.content_length == 0 and not call.request.body_exists):
        return
    progress = _progress(call, call.endpoint.argument, upload.offset)
    try:
        span = ByteRange.parse_chunk(header)
    except Invalid as error:
        raise Refused(ErrorCode.BLOB_UPLOAD_INVALID, str(error), status=416, headers=progress) from error
    if span.first != upload.offset:
        message = f"the chunk begins at {span.first}, the upload has {upload.offset} bytes"
        raise Refused(ErrorCode.BLOB_UPLOAD_INVALID, message, status=416, headers=progress)
    length = call.request.content_length
    if length is not None and length != span.size:
        raise Refused(ErrorCode.SIZE_INVALID, f"Content-Range tells {span.size} bytes, Content-Length {length}")


@asynccontextmanager
async def _opened(call: Call) -> AsyncIterator[Upload]:
    """The upload of the path.  An earlier request that is just dying is waited for a moment."""
    deadline = asyncio.get_running_loop().time() + _TURN_WAIT
    while True:
        try:
            upload = await call.parts.repositories.driver.open_upload(_stored_id(call, call.endpoint.argument))
            break
        except Conflict:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.05)
    if upload is None:
        raise Refused(ErrorCode.BLOB_UPLOAD_UNKNOWN)
    try:
        yield upload
    finally:
        try:
            await upload.close()
        except Conflict:  # another process took it over: what we have hashed may not be what is there
            call.parts.hashes.forget(call.endpoint.argument)
            raise


def _stored_id(call: Call, upload_id: str) -> str:
    """An upload belongs to its repository: the name is part of where it is stored."""
    if not upload_id.isalnum() or not upload_id.isascii() or len(upload_id) > 64:
        raise Refused(ErrorCode.BLOB_UPLOAD_UNKNOWN)
    return f"{upload_id}-{hashlib.sha256(call.endpoint.name.encode()).hexdigest()[:16]}"


def _progress(call: Call, upload_id: str, offset: int) -> dict[str, str]:
    return {
        "Location": str(Endpoint(Kind.UPLOAD, call.endpoint.name, upload_id)),
        "Range": f"0-{max(0, offset - 1)}",
        "Docker-Upload-UUID": upload_id,
    }


def _located(call: Call, digest: Digest) -> dict[str, str]:
    location = str(Endpoint(Kind.BLOB, call.endpoint.name, str(digest)))
    return {"Location": location, "Docker-Content-Digest": str(digest)}
