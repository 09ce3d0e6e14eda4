"""A registry of ours inside the test's own process, images to push to it, and a plain HTTP session to ask it things."""

from __future__ import annotations

import asyncio
import functools
import gzip
import hashlib
import io
import json
import random
import socket
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from corten.registry.app import make_app
from corten.registry.config import Options
from corten.registry.server import Listener
from corten.registry.storage.base import Driver
from corten.registry.storage.files import Files
from corten.spec import media_types
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.image import Manifest


def scenario(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """An async test that pytest can run."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def listening_socket() -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    sock.listen(128)
    return sock


@dataclass(frozen=True)
class Served:
    """A registry that answers."""

    app: web.Application
    port: int
    scheme: str = "http"

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"


@asynccontextmanager
async def serving(
    root: Path, options: Options | None = None, *, driver: Driver | None = None, context: Any = None, port: int = 0
) -> AsyncIterator[Served]:
    """Serve the store at ``root`` for a while."""
    options = options or Options()
    app = await make_app(driver or Files(root, sync=False), options)
    sock = listening_socket() if not port else socket.create_server(("127.0.0.1", port), reuse_port=False)
    port = sock.getsockname()[1]
    async with Listener(app, sock, context, options.header_timeout):
        yield Served(app, port, "https" if context else "http")


@asynccontextmanager
async def answering(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """A server of the test's own that answers everything with ``handler``; its host:port."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)  # type: ignore[arg-type]
    await runner.setup()
    sock = listening_socket()
    await web.SockSite(runner, sock).start()
    try:
        yield f"localhost:{sock.getsockname()[1]}"
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class Image:
    """An image in memory."""

    manifest: bytes
    media_type: str
    blobs: dict[Digest, bytes]
    descriptors: tuple[Descriptor, ...]

    @property
    def digest(self) -> Digest:
        return Digest.of(self.manifest)

    @property
    def parsed(self) -> Manifest:
        return Manifest.parse(self.manifest)


def make_image(
    seed: int = 1, layers: int = 2, size: int = 5000, media_type: str = media_types.OCI_MANIFEST, **fields: Any
) -> Image:
    """A small image; the same seed gives the same bytes."""
    source = random.Random(seed)
    blobs: dict[Digest, bytes] = {}
    found, diff_ids = [], []

    def put(kind: str, data: bytes) -> Descriptor:
        digest = Digest.of(data)
        blobs[digest] = data
        return Descriptor(kind, digest, len(data))

    for number in range(layers):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            entry = tarfile.TarInfo(f"file{number}")
            entry.size = size
            archive.addfile(entry, io.BytesIO(source.randbytes(size)))
        raw = stream.getvalue()
        diff_ids.append(str(Digest.of(raw)))
        found.append(put(media_types.OCI_LAYER_GZIP, gzip.compress(raw, 1, mtime=0)))
    config = {"architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z", "config": {"Cmd": ["sh"]}}
    config |= {
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": "RUN <seed>"}],
        "seed": seed,
    }
    described = put(media_types.OCI_CONFIG, json.dumps(config).encode())
    body = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": described.to_json(),
        "layers": [entry.to_json() for entry in found],
        **fields,
    }
    return Image(json.dumps(body).encode(), media_type, blobs, (described, *found))


class Session:
    """Plain HTTP to one registry."""

    def __init__(self, served: Served, http: aiohttp.ClientSession) -> None:
        self.served = served
        self.http = http

    async def ask(
        self, method: str, path: str, data: Any = None, headers: dict[str, str] | None = None, **options: Any
    ) -> Answer:
        """One request, whatever comes of it."""
        url = path if "://" in path else self.served.url + path
        options.setdefault("ssl", False)
        async with self.http.request(method, url, data=data, headers=headers, allow_redirects=False, **options) as got:
            return Answer(got.status, got.headers, await got.read())

    async def push_blob(self, name: str, data: bytes) -> Digest:
        digest = Digest.of(data)
        began = await self.ask("POST", f"/v2/{name}/blobs/uploads/")
        assert began.status == 202, began
        done = await self.ask("PUT", f"{began.headers['Location']}?digest={digest}", data)
        assert done.status == 201, done
        return digest

    async def push_manifest(self, name: str, data: bytes, media_type: str, tag: str | None = None) -> Answer:
        path = f"/v2/{name}/manifests/{tag or Digest.of(data)}"
        return await self.ask("PUT", path, data, {"Content-Type": media_type})

    async def push_image(self, name: str, image: Image, tag: str | None = "latest") -> Answer:
        for data in image.blobs.values():
            await self.push_blob(name, data)
        answer = await self.push_manifest(name, image.manifest, image.media_type, tag)
        assert answer.status == 201, answer
        return answer


@dataclass(frozen=True)
class Answer:
    """What came."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["errors"][0]["code"])


@asynccontextmanager
async def session(served: Served, **options: Any) -> AsyncIterator[Session]:
    async with aiohttp.ClientSession(**options) as http:
        yield Session(served, http)


def sha512(data: bytes) -> Digest:
    return Digest("sha512", hashlib.sha512(data).hexdigest())
