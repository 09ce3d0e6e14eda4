"""A bucket of an S3-speaking object store: whole objects, conditional writes, listings, copies inside the store.

Owns: the client's connections, and what becomes of the store's errors.  Knows nothing of registries.
Needs strong consistency and conditional writes (``If-Match``, ``If-None-Match``), which S3 has had since 2024.
Read next: s3.py, which makes a driver of it; cells.py, which makes locks of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from corten.errors import Unavailable
from corten.registry.config import S3Options

PART_MIN = 5 << 20  # of every part of a composed object but the last: S3's rule
_COPY_MAX = 5 << 30  # of one copy
_CONNECTIONS = 64
_COPIES = 8
_DELETE_MAX = 1000
_CHUNK = 1 << 20
_ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})
_LOST = frozenset({"412", "PreconditionFailed", "409", "ConditionalRequestConflict"})


@dataclass(frozen=True, slots=True)
class Found:
    """An object: its size, its tag (another for other bytes), and its time of writing by our clock, rounded up."""

    size: int
    etag: str
    modified: float
    data: bytes = b""


class Bucket:
    """The part of a bucket below a prefix."""

    def __init__(self, options: S3Options) -> None:
        self._options = options
        self._prefix = options.prefix.strip("/") + "/" if options.prefix.strip("/") else ""
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._client: Any = None

    def __repr__(self) -> str:
        return f"S3 bucket {self._options.bucket} below {self._prefix or '/'}"

    async def get(self, key: str) -> Found | None:
        """A small object, whole; None where there is none."""
        async with self._told() as client:
            try:
                answer = await client.get_object(**self._at(key))
            except ClientError as error:
                _none_if_absent(error)
                return None
            async with answer["Body"] as body:
                return Found(answer["ContentLength"], answer["ETag"], _modified(answer), await body.read())

    async def head(self, key: str) -> Found | None:
        """An object without its bytes."""
        async with self._told() as client:
            try:
                answer = await client.head_object(**self._at(key))
            except ClientError as error:
                _none_if_absent(error)
                return None
            return Found(answer["ContentLength"], answer["ETag"], _modified(answer))

    async def put(self, key: str, data: bytes) -> None:
        """Put an object in place of any before it."""
        async with self._told() as client:
            await client.put_object(**self._at(key), Body=data)

    async def put_if(self, key: str, data: bytes, etag: str | None) -> str | None:
        """Put an object in place of exactly the one with that tag (None: of none).  Its new tag; None when it lost."""
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        async with self._told() as client:
            try:
                answer = await client.put_object(**self._at(key), Body=data, **condition)
            except ClientError as error:
                if _code(error) not in _LOST | _ABSENT:
                    raise
                now = await self.get(key)  # a request that was sent again may have lost against itself
                return now.etag if now is not None and now.data == data else None
            return str(answer["ETag"])

    async def delete(self, *keys: str) -> None:
        """Remove objects, if they are there."""
        async with self._told() as client:
            for first in range(0, len(keys), _DELETE_MAX):
                names = [{"Key": self._prefix + key} for key in keys[first : first + _DELETE_MAX]]
                answer = await client.delete_objects(
                    Bucket=self._options.bucket, Delete={"Objects": names, "Quiet": True}
                )
                if failed := answer.get("Errors"):
                    raise Unavailable(f"object storage kept {failed[0].get('Key')}: {failed[0].get('Message')}")

    async def listing(self, prefix: str) -> list[tuple[str, float]]:
        """Every object whose key starts with ``prefix``, and when it was written."""
        return [
            (entry["Key"].removeprefix(self._prefix), _modified(page, entry["LastModified"]))
            for page in await self._pages(prefix)
            for entry in page.get("Contents", ())
        ]

    async def names(self, folder: str) -> list[str]:
        """The names right below ``folder/``, sorted by their bytes."""
        prefix = f"{folder}/"
        found: set[str] = set()
        for page in await self._pages(prefix, Delimiter="/"):
            found.update(entry["Key"].removeprefix(self._prefix + prefix) for entry in page.get("Contents", ()))
            found.update(
                entry["Prefix"].removeprefix(self._prefix + prefix).rstrip("/")
                for entry in page.get("CommonPrefixes", ())
            )
        return sorted(found - {""})

    async def stream(self, key: str, first: int, size: int) -> AsyncIterator[bytes]:
        """``size`` bytes from ``first`` on; FileNotFoundError where there is no such object."""
        if size <= 0:
            return
        async with self._told() as client:
            try:
                answer = await client.get_object(**self._at(key), Range=f"bytes={first}-{first + size - 1}")
            except ClientError as error:
                _none_if_absent(error)
                raise FileNotFoundError(key) from error
            async with answer["Body"] as body:
                while data := await body.read(_CHUNK):
                    yield data

    async def compose(self, key: str, parts: Sequence[tuple[str, int]]) -> None:
        """Make ``key`` of others, one after the other, inside the store.  All but the last have PART_MIN bytes."""
        async with self._told() as client:
            if len(parts) == 1 and parts[0][1] <= _COPY_MAX:
                await client.copy_object(**self._at(key), CopySource=self._source(parts[0][0]))
                return
            upload = self._at(key) | {"UploadId": (await client.create_multipart_upload(**self._at(key)))["UploadId"]}
            turns = asyncio.Semaphore(_COPIES)

            async def copy(number: int, source: str) -> dict[str, Any]:
                async with turns:
                    done = await client.upload_part_copy(**upload, PartNumber=number, CopySource=self._source(source))
                return {"PartNumber": number, "ETag": done["CopyPartResult"]["ETag"]}

            try:
                made = await asyncio.gather(*(copy(number, name) for number, (name, _) in enumerate(parts, 1)))
                await client.complete_multipart_upload(**upload, MultipartUpload={"Parts": made})
            except BaseException:
                with contextlib.suppress(ClientError, BotoCoreError):
                    await client.abort_multipart_upload(**upload)
                raise

    async def close(self) -> None:
        """Let go of connections."""
        await self._stack.aclose()
        self._client = None

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._options.bucket, "Key": self._prefix + key}

    def _source(self, key: str) -> dict[str, str]:
        return self._at(key)

    async def _pages(self, prefix: str, **options: str) -> list[dict[str, Any]]:
        async with self._told() as client:
            paginator = client.get_paginator("list_objects_v2")
            pages = paginator.paginate(Bucket=self._options.bucket, Prefix=self._prefix + prefix, **options)
            return [page async for page in pages]

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[Any]:
        """The client; what goes wrong with the store is told as Unavailable."""
        try:
            if self._client is None:
                await self._open()
            yield self._client
        except ClientError as error:
            raise Unavailable(f"object storage: {error}") from error
        except (BotoCoreError, TimeoutError) as error:
            raise Unavailable(f"object storage does not answer: {error}") from error

    async def _open(self) -> None:
        async with self._opening:
            if self._client is not None:
                return
            config = AioConfig(
                max_pool_connections=_CONNECTIONS,
                connect_timeout=5,
                read_timeout=60,
                retries={"mode": "standard", "max_attempts": 3},
                request_checksum_calculation="when_required",  # stores that are not Amazon's know no others
                response_checksum_validation="when_required",
                s3={"addressing_style": "path" if self._options.endpoint else "auto"},
            )
            client = get_session().create_client(
                "s3",
                endpoint_url=self._options.endpoint or None,
                region_name=self._options.region or None,
                config=config,
            )
            self._client = await self._stack.enter_async_context(client)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _none_if_absent(error: ClientError) -> None:
    if _code(error) not in _ABSENT:
        raise error


def _modified(answer: dict[str, Any], stamp: datetime | None = None) -> float:
    """When an object was written, by our clock: the store tells its own time with each answer, in whole seconds."""
    written: datetime = stamp or answer["LastModified"]
    date = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
    now = email.utils.parsedate_to_datetime(date).timestamp() if date else time.time()
    return time.time() - max(0.0, now - written.timestamp() - 1.0)
