"""The files of a build that BuildKit's API asked for: Dockerfile, ignore file, context, named contexts.

Each is a step that the client sees, with BuildKit's names.  What is in a client's directory comes through its session
(directories.py), what is elsewhere through ../contexts.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from corten.build.dockerfile import ignore
from corten.build.ports import Progress
from corten.buildkit.board import Board, Shown
from corten.buildkit.filesync.fetch import Wanted, fetch
from corten.buildkit.sessions import Session, Sessions
from corten.engine.builds import remotes
from corten.engine.builds.buildkit import questions
from corten.engine.builds.buildkit.options import IMAGE, UPLOAD, Frontend
from corten.engine.builds.contexts import Context, Contexts, locate
from corten.engine.builds.directories import Directories
from corten.engine.builds.options import DEFAULT_DOCKERFILE
from corten.errors import CortenError, Invalid, NotFound, NotImplementedYet

IGNORE = ".dockerignore"


@dataclass(frozen=True, slots=True)
class Gathering:
    """One build's gathering: who has the files, where they may lie, who is told, what is held until the end."""

    frontend: Frontend
    inputs: Mapping[str, str]
    session: Session
    sessions: Sessions
    workspace: Path
    board: Board
    stack: contextlib.AsyncExitStack
    progress: Progress


class Sources:
    """See the module."""

    def __init__(self, contexts: Contexts, directories: Directories) -> None:
        self._contexts = contexts
        self._directories = directories

    async def definition(self, at: Gathering) -> Context:
        """The Dockerfile alone, from the client; its directory holds nothing else (and its ignore file)."""
        name = at.frontend.options.dockerfile
        follow = [name, f"{name}{IGNORE}"]
        if Path(name).name == DEFAULT_DOCKERFILE:
            follow.append(str(Path(name).with_name("dockerfile")))
        directory = at.workspace / "definition"
        directory.mkdir(mode=0o700)
        with at.board.step(f"[internal] load build definition from {name}") as step:
            wanted = Wanted(at.frontend.dockerfile, follow=follow)
            size = await fetch(await self._session(at, wanted.name), wanted, directory)
            step.note(f"transferring dockerfile: {_bytes(size)}")
            try:
                found = locate(directory, name)
                for finding in questions.findings(at.frontend, found) if not at.frontend.question else ():
                    at.board.warn(questions.warning(finding, step.digest, found))
                return found
            except CortenError as failure:
                if failure.message.startswith("Cannot locate"):
                    raise NotFound(f"failed to read dockerfile: open {name}: no such file or directory") from None
                raise

    async def gather(self, at: Gathering) -> tuple[Frontend, Context]:
        """Everything; what the frontend's options say of contexts is made true on the way."""
        own = await self.definition(at) if at.frontend.dockerfile else None
        found = await self._remote(at, own) if at.frontend.remote else await self._local(at, own)
        named = {}
        for name, value in at.frontend.named.items():
            named.update(await self._named(at, name, value))
        options = replace(at.frontend.options, named_contexts=named, apply_ignore=bool(at.frontend.remote))
        return replace(at.frontend, options=options), found

    async def _session(self, at: Gathering, name: str) -> Session:
        """Directories may be offered by a session of their own, shared by several builds."""
        other = at.frontend.sessions.get(name, "")
        return await at.sessions.get(other) if other else at.session

    # -- the context ---------------------------------------------------------------------------------------------

    async def _local(self, at: Gathering, own: Context | None) -> Context:
        if own is None:
            raise Invalid("a build needs a Dockerfile")
        excludes = await self._ignored(at, own)
        with at.board.step("[internal] load build context") as step:
            directory, size = await self._receive(at, Wanted(at.frontend.context, excludes=excludes), "context")
            step.note(f"transferring context: {_bytes(size)}")
        return Context(directory, own.dockerfile, own.name)

    async def _ignored(self, at: Gathering, own: Context) -> list[str]:
        beside = own.directory / f"{own.name}{IGNORE}"
        if beside.is_file() and not beside.is_symlink():
            return ignore.read(beside.read_bytes().decode("utf-8", "replace"))
        with at.board.step(f"[internal] load {IGNORE}") as step:
            return await self._ignore_file(at, at.frontend.context, "ignore", step)

    async def _ignore_file(self, at: Gathering, name: str, place: str, step: Shown | None = None) -> list[str]:
        directory = at.workspace / place
        directory.mkdir(mode=0o700)
        size = await fetch(await self._session(at, name), Wanted(name, follow=[IGNORE]), directory)
        if step is not None:
            step.note(f"transferring context: {_bytes(size)}")
        found = directory / IGNORE
        if not found.is_file() or found.is_symlink():
            return []
        return ignore.read(found.read_bytes().decode("utf-8", "replace"))

    async def _receive(self, at: Gathering, wanted: Wanted, place: str) -> tuple[Path, int]:
        session = await self._session(at, wanted.name)
        return await at.stack.enter_async_context(
            self._directories.receive(session, wanted, at.workspace / f"own-{place}")
        )

    async def _remote(self, at: Gathering, own: Context | None) -> Context:
        remote = at.frontend.remote
        if remote.startswith(UPLOAD):
            with at.board.step("[internal] load remote build context"):
                body = at.session.upload("/" + remote.removeprefix(UPLOAD))
                return await self._contexts.receive(at.frontend.options, body, at.workspace, at.progress, own)
        with at.board.step(f"[internal] load git source {remote}"):
            options = replace(at.frontend.options, remote=remote)
            return await self._contexts.receive(options, None, at.workspace, at.progress, own)

    # -- named contexts ------------------------------------------------------------------------------------------

    async def _named(self, at: Gathering, name: str, value: str) -> dict[str, str | Path]:
        """What --build-context names, under each name that a Dockerfile may use for it."""
        name = name.partition("::")[0]
        kind, _, rest = value.partition(":")
        found: str | Path
        if kind == "docker-image":
            found = value
        elif kind == "input":
            image = at.inputs.get(rest, "")
            if not image:
                raise Invalid(f"invalid input {rest} for {name}")
            found = f"{IMAGE}{image}"
        elif kind == "local":
            found = await self._named_directory(at, name, rest)
        elif kind in ("http", "https", "git") or value.startswith("git@"):
            with at.board.step(f"[context {name}] {value}"):
                found = await self._named_remote(at, name, value)
        else:
            raise NotImplementedYet(f"build context {name}={value}: {kind} is not supported by this engine")
        short = name.removesuffix(":latest")
        return {name: found, short: found}

    async def _named_directory(self, at: Gathering, name: str, local: str) -> Path:
        place = f"named-{len(list(at.workspace.iterdir()))}"
        with at.board.step(f"[context {name}] load from client") as step:
            excludes = await self._ignore_file(at, local, f"{place}-ignore")
            directory, size = await self._receive(at, Wanted(local, excludes=excludes), place)
            step.note(f"transferring {name}: {_bytes(size)}")
        return directory

    async def _named_remote(self, at: Gathering, name: str, value: str) -> Path:
        place = at.workspace / f"remote-{len(list(at.workspace.iterdir()))}"
        place.mkdir(mode=0o700)
        remote = await remotes.fetch(value, place, at.progress)
        if remote.directory is None:
            raise NotImplementedYet(f"build context {name}={value}: only git repositories are supported")
        return remote.directory


def _bytes(size: int) -> str:
    shown = float(size)
    for unit in ("B", "kB", "MB"):
        if shown < 1000:
            return f"{size}B" if unit == "B" else f"{shown:.2f}{unit}"
        shown /= 1000
    return f"{shown:.2f}GB"
