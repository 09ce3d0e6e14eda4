"""Build contexts that are elsewhere: a git repository, a tar behind a URL, or a single Dockerfile behind one.

Owns: telling the three apart and fetching them.  For what is done with them read contexts.py.
"""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass
from pathlib import Path

from corten.build.ports import Progress
from corten.engine.downloads import download
from corten.errors import CortenError, Internal, Invalid
from corten.kernel.paths import Root

_GIT_URL = re.compile(r"(git://|github\.com/|git@[\w.-]+:)|https?://[^#]+\.git(#.*)?\Z")
_REF = re.compile(r"[A-Za-z0-9_][\w./+-]*\Z")
_ARCHIVE_MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
TEXT_LIMIT = 16 << 20


@dataclass(frozen=True, slots=True)
class Remote:
    """What was fetched: one of the three."""

    directory: Path | None = None
    archive: Path | None = None
    text: bytes | None = None


@dataclass(frozen=True, slots=True)
class GitSource:
    """``url#ref:directory``."""

    url: str
    ref: str = "HEAD"
    subdirectory: str = ""

    @classmethod
    def parse(cls, text: str) -> GitSource | None:
        """None if it names no repository; raises Invalid for refs that no repository can have."""
        if not _GIT_URL.match(text):
            return None
        url, _, fragment = text.partition("#")
        ref, _, subdirectory = fragment.partition(":")
        if ref and not _REF.match(ref):
            raise Invalid(f"invalid refspec: {ref}")
        if url.startswith("github.com/"):
            url = f"https://{url}"
        return cls(url, ref or "HEAD", subdirectory)


async def fetch(remote: str, workspace: Path, progress: Progress) -> Remote:
    """Bring it here.  Raises NotFound, Denied, Invalid, Internal."""
    source = GitSource.parse(remote)
    if source is not None:
        return Remote(directory=await _clone(source, workspace / "git"))
    if not remote.startswith(("http://", "https://")):
        raise Internal(f"remoteURL ({remote}) could not be recognized as URL")
    path = workspace / "remote"

    def told(current: int, total: int) -> None:
        progress.status(remote, "Downloading context", current, total or None)

    try:
        await download(remote, path, told)
    except CortenError as failure:
        raise type(failure)(f"error downloading remote context {remote}: {failure.message}") from None
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(_ARCHIVE_MAGIC) or head[257:262] == b"ustar":
        return Remote(archive=path)
    if path.stat().st_size > TEXT_LIMIT:
        raise Invalid(f"the file at {remote} is neither an archive nor a Dockerfile")
    return Remote(text=path.read_bytes())


async def _clone(source: GitSource, target: Path) -> Path:
    """The files of one commit, and of its submodules, with as little history as the server allows."""
    target.mkdir()
    await _git(target, "init", "-q")
    await _git(target, "remote", "add", "origin", source.url)
    try:
        await _git(target, "fetch", "-q", "--depth", "1", "origin", source.ref)
        await _git(target, "checkout", "-q", "FETCH_HEAD")
    except Internal:
        # A server that gives no single commits; a ref that is an abbreviated commit.
        await _git(target, "fetch", "-q", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*")
        await _git(target, "checkout", "-q", source.ref if source.ref != "HEAD" else "origin/HEAD")
    await _git(target, "submodule", "-q", "update", "--init", "--recursive", "--depth", "1")
    return _inside(target, source.subdirectory)


def _inside(root: Path, subdirectory: str) -> Path:
    if not subdirectory:
        return root
    with Root.at(root) as tree:
        try:
            found = tree.realpath(f"/{subdirectory}")
        except OSError as error:
            raise Invalid(f"error setting git context, subdirectory {subdirectory!r}: {error.strerror}") from None
    path = root / found.lstrip("/")
    if not path.is_dir():
        raise Invalid(f"error setting git context, not a directory: {subdirectory}")
    return path


async def _git(directory: Path, *args: str) -> None:
    safe = ("-c", "protocol.file.allow=never", "-c", "protocol.ext.allow=never", "-c", "core.hooksPath=/dev/null")
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}
    try:
        process = await asyncio.create_subprocess_exec(
            "git",
            *safe,
            "-C",
            str(directory),
            *args,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError:
        raise Internal("git is needed for this build context", hint="Install the package git on the host.") from None
    try:
        _, said = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    if process.returncode:
        words = said.decode("utf-8", "replace").strip()
        raise Internal(f"error fetching: git {args[0]}: {words or process.returncode}")
