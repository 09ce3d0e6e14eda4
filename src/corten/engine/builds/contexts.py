"""The build context: a tar in the request's body, or what a URL or a git repository holds, as a directory.

Owns: receiving, unpacking (confined, as layers are), finding the Dockerfile in it, and the words for what is wrong
with it.  Knows nothing of building.  For git and plain downloads read remotes.py.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from corten.build.ports import Progress
from corten.engine.builds.options import DEFAULT_DOCKERFILE, BuildOptions
from corten.engine.builds.remotes import Remote, fetch
from corten.errors import Internal, Invalid
from corten.kernel.paths import Root
from corten.store.layers.apply import Applied, Whiteouts, apply
from corten.store.workers import Workers

# A context this small is unpacked by the daemon itself: a worker's start costs more.
SMALL = 1 << 20
DOCKERFILE_LIMIT = 16 << 20

Body = AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Context:
    """Files to build from, and the Dockerfile's text and its name in them."""

    directory: Path
    dockerfile: str
    name: str


class Contexts:
    """Makes the directory of one build; it belongs to the caller, who removes it."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    async def receive(
        self,
        options: BuildOptions,
        body: Body | None,
        workspace: Path,
        progress: Progress,
        own: Context | None = None,
    ) -> Context:
        """What the request says to build from.  Raises Invalid and Internal in dockerd's words.

        ``own`` is a Dockerfile that came apart from the context.
        """
        directory = workspace / "context"
        directory.mkdir(mode=0o700)
        if not options.remote:
            await self._unpack(body, directory, workspace)
            return _with(directory, own, options)
        remote = await fetch(options.remote, workspace, progress)
        return await self._from_remote(remote, options, directory, own)

    async def _from_remote(
        self, remote: Remote, options: BuildOptions, directory: Path, own: Context | None
    ) -> Context:
        if remote.directory is not None:
            return _with(remote.directory, own, options)
        if remote.text is not None:
            return Context(directory, _text(remote.text, DEFAULT_DOCKERFILE), DEFAULT_DOCKERFILE)
        if remote.archive is None:
            raise Internal(f"nothing came of the remote context {options.remote}")
        await self.unpack(remote.archive, directory)
        return _with(directory, own, options)

    async def _unpack(self, body: Body | None, directory: Path, workspace: Path) -> None:
        """Keep the tar first, then unpack: a client that goes away in between leaves nothing behind."""
        spool = workspace / "context.tar"
        size = 0
        with spool.open("wb") as file:
            async for chunk in body if body is not None else _nothing():
                size += file.write(chunk)
        if size:
            await self.unpack(spool, directory)
        spool.unlink()

    async def unpack(self, archive: Path, directory: Path) -> None:
        """A tar that somebody sent, into a directory of the build's own.  Raises Invalid."""
        if os.stat(archive).st_size <= SMALL:
            applied = await asyncio.to_thread(apply, archive, directory, whiteouts=Whiteouts.PLAIN)
        else:
            beds = directory.parent / "beds"
            applied = await self._workers.apply(archive, directory, whiteouts=Whiteouts.PLAIN, beds=beds)
        _check(applied)


def _with(directory: Path, own: Context | None, options: BuildOptions) -> Context:
    return Context(directory, own.dockerfile, own.name) if own else locate(directory, options.dockerfile)


async def _nothing() -> Body:
    return
    yield b""


def _check(applied: Applied) -> None:
    if applied.links:
        name, target = applied.links[0]
        raise Invalid(f"invalid build context: {name!r} is a hard link to {target!r}, which is not in it")


def locate(directory: Path, name: str) -> Context:
    """The Dockerfile, looked for inside the context only, whatever links are in it."""
    # docker: `dockerfile` will do where nobody named one.
    names = (name, "dockerfile") if name == DEFAULT_DOCKERFILE else (name,)
    with Root.at(directory) as root:
        for each in names:
            path = str(PurePosixPath("/", each))
            data = _read(root, path)
            if data is not None:
                return Context(directory, _text(data, each), path.lstrip("/"))
    raise Internal(f"Cannot locate specified Dockerfile: {name}")


def _read(root: Root, path: str) -> bytes | None:
    try:
        fd = root.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Invalid(f"failed to read dockerfile {path.lstrip('/')}: {error.strerror}") from None
    with open(fd, "rb") as file:
        try:
            data = file.read(DOCKERFILE_LIMIT + 1)
        except IsADirectoryError:
            raise Invalid(f"failed to read dockerfile: {path.lstrip('/')} is a directory") from None
    if len(data) > DOCKERFILE_LIMIT:
        raise Invalid(f"the Dockerfile ({path.lstrip('/')}) is larger than {DOCKERFILE_LIMIT} bytes")
    return data


def _text(data: bytes, name: str) -> str:
    if not data:
        raise Invalid(f"the Dockerfile ({name}) cannot be empty")
    return data.decode("utf-8", "replace")
