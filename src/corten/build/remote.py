"""Sources from elsewhere: a URL over HTTP(S), a git repository by the git program.

Everything lands in a directory of its own under the scratch directory and goes when the step is over.
"""

from __future__ import annotations

import asyncio
import email.utils
import hashlib
import os
import posixpath
import shutil
import tempfile
import urllib.parse
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from corten.build.ports import Progress
from corten.errors import Invalid, NotFound, Unavailable

CHUNK = 1 << 18
MAX_DOWNLOAD = 1 << 40
_TOLD_OF_FAILURE = 4096
GIT_PROTOCOLS = "http:https:git:ssh"
"""Not file: the address comes from a Dockerfile, the host's files are not its business."""

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=120)


@dataclass(frozen=True, slots=True)
class Fetched:
    """``name`` is the file in ``directory``, "" when the directory itself was fetched."""

    directory: Path
    name: str


async def fetch(
    source: str,
    scratch: Path,
    stack: ExitStack | AsyncExitStack,
    *,
    is_git: bool,
    checksum: str = "",
    keep_git_dir: bool | None = None,
    out: Progress | None = None,
) -> Fetched:
    """Get one remote source.  Raises NotFound, Unavailable or Invalid."""
    directory = Path(tempfile.mkdtemp(prefix="fetch-", dir=scratch))
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    if is_git:
        await clone(source, directory, checksum=checksum, keep_git_dir=bool(keep_git_dir))
        return Fetched(directory, "")
    return Fetched(directory, await download(source, directory, checksum=checksum, out=out))


async def download(url: str, directory: Path, *, checksum: str = "", out: Progress | None = None) -> str:
    """GET a file; its name in the directory.  The modification time is the server's Last-Modified."""
    name = posixpath.basename(urllib.parse.unquote(urllib.parse.urlsplit(url).path)) or "__unnamed__"
    if name in (".", "..") or "/" in name or "\0" in name:
        name = "__unnamed__"
    expected = _checksum(checksum)
    digest = hashlib.sha256()
    path = directory / name
    try:
        async with aiohttp.ClientSession(timeout=TIMEOUT, trust_env=True) as session, session.get(url) as response:
            if response.status >= 400:
                said = (await response.content.read(_TOLD_OF_FAILURE)).decode(errors="replace").strip()
                raise NotFound(f"failed to GET {url} with status {response.status} {response.reason}: {said}")
            total, done = response.content_length, 0
            with open(path, "wb") as file:
                async for chunk in response.content.iter_chunked(CHUNK):
                    done += len(chunk)
                    if done > MAX_DOWNLOAD:
                        raise Invalid(f"{url} is larger than {MAX_DOWNLOAD} bytes")
                    digest.update(chunk)
                    file.write(chunk)
                    if out is not None:
                        out.status("", "Downloading", done, total)
            modified = response.headers.get("Last-Modified", "")
    except (aiohttp.ClientError, TimeoutError, ValueError) as failure:
        raise Unavailable(f'Get "{url}": {_reason(failure)}') from failure
    if expected and digest.hexdigest() != expected:
        raise Invalid(f"digest mismatch sha256:{digest.hexdigest()}: sha256:{expected}")
    moment = _moment(modified)
    os.utime(path, (moment, moment))
    return name


def _reason(failure: Exception) -> str:
    """docker: in the words of Go's net package."""
    if isinstance(failure, aiohttp.ClientConnectorDNSError):
        return f"dial tcp: lookup {failure.host}: no such host"
    if isinstance(failure, aiohttp.ClientConnectorError) and failure.os_error.errno:
        return f"dial tcp {failure.host}:{failure.port}: connect: {os.strerror(failure.os_error.errno).lower()}"
    if isinstance(failure, aiohttp.InvalidURL):
        return "http: no Host in request URL"
    return str(failure) or type(failure).__name__


def _checksum(text: str) -> str:
    if not text:
        return ""
    algorithm, _, digits = text.partition(":")
    if algorithm != "sha256" or len(digits) != 64 or digits.strip("0123456789abcdef"):
        raise Invalid(f"invalid checksum digest format: {text}")
    return digits


def _moment(modified: str) -> float:
    """The server's time, or the beginning of time: a download without one must not differ from day to day."""
    try:
        return email.utils.parsedate_to_datetime(modified).timestamp() if modified else 0.0
    except (ValueError, TypeError):
        return 0.0


@dataclass(frozen=True, slots=True)
class GitAddress:
    """``remote[#ref[:directory]]`` or the query form ``remote?branch=…&subdir=…``."""

    remote: str
    ref: str = ""
    subdirectory: str = ""
    checksum: str = ""

    @classmethod
    def parse(cls, source: str) -> GitAddress:
        address, _, fragment = source.partition("#")
        ref, _, subdirectory = fragment.partition(":")
        remote, _, query = address.partition("?")
        fields = dict(urllib.parse.parse_qsl(query))
        ref = ref or fields.get("ref") or fields.get("branch") or fields.get("tag") or ""
        subdirectory = subdirectory or fields.get("subdir", "")
        checksum = fields.get("checksum") or fields.get("commit") or ""
        if ref.startswith("-") or remote.startswith("-"):
            raise Invalid(f"invalid git reference {source!r}")
        if remote.startswith("github.com/"):
            remote = f"https://{remote}"
        return cls(remote, ref, subdirectory, checksum)


async def clone(source: str, directory: Path, *, checksum: str = "", keep_git_dir: bool = False) -> None:
    """Fetch one commit of a repository, with its submodules, into the directory."""
    if shutil.which("git") is None:
        raise Unavailable(
            "git is needed to build from a git repository, and is not installed", hint="Install it: apt-get install git"
        )
    address = GitAddress.parse(source)
    checksum = checksum or address.checksum
    work = directory / ".clone"
    await _git(directory, "init", "-q", str(work))
    await _git(work, "remote", "add", "origin", "--", address.remote)
    wanted = address.ref or "HEAD"
    try:
        await _git(work, "fetch", "-q", "--depth", "1", "--recurse-submodules=no", "origin", "--", wanted)
        await _git(work, "checkout", "-q", "FETCH_HEAD")
    except Unavailable:
        # Servers need not give a commit by its name: fetch everything, then look.
        await _git(work, "fetch", "-q", "--tags", "origin")
        if wanted == "HEAD":
            wanted = (await _git(work, "ls-remote", "origin", "HEAD")).partition("\t")[0]
        await _git(work, "checkout", "-q", wanted, "--")
    await _git(work, "submodule", "update", "-q", "--init", "--recursive", "--depth", "1")
    head = (await _git(work, "rev-parse", "HEAD")).strip()
    if checksum and not head.startswith(checksum.lower()):
        raise Invalid(f"expected checksum to match {checksum}, got {head}")
    tree = work
    if address.subdirectory.strip("/"):
        tree = work / address.subdirectory.strip("/")
        if not tree.resolve().is_relative_to(work.resolve()) or not tree.is_dir():
            raise NotFound(f"subdir not found {address.subdirectory}")
    if not keep_git_dir:
        await asyncio.to_thread(shutil.rmtree, work / ".git", ignore_errors=True)
    await asyncio.to_thread(_lift, tree, directory, work)


def _lift(tree: Path, directory: Path, work: Path) -> None:
    """Move the wanted tree's entries up into the directory, then drop the clone."""
    staging = directory / ".tree"
    os.rename(tree, staging)
    shutil.rmtree(work, ignore_errors=True)
    for name in os.listdir(staging):
        os.rename(staging / name, directory / name)
    staging.rmdir()


async def _git(directory: Path, *args: str) -> str:
    env = {
        **os.environ,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "HOME": str(directory),
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_ALLOW_PROTOCOL": GIT_PROTOCOLS,
    }
    process = await asyncio.create_subprocess_exec(
        "git", *args, cwd=directory, env=env, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        output, errors = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise Unavailable(f"git {args[0]}: {errors.decode(errors='replace').strip() or 'failed'}")
    return output.decode(errors="replace")
