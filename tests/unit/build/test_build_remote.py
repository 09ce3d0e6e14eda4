"""ADD of URLs and git repositories, from a server and a repository made here."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from corten.build import remote
from corten.build.remote import GitAddress
from corten.build.request import BuildRequest, BuildResult
from corten.errors import CortenError, Invalid, NotFound, Unavailable
from fakes.build import Kitchen, Recorder

pytestmark = pytest.mark.root
CONTENT = b"downloaded\n"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def archive() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        info = tarfile.TarInfo("inner")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    return out.getvalue()


async def file(request: web.Request) -> web.Response:
    return web.Response(body=CONTENT, headers={"Last-Modified": "Thu, 01 Jan 1970 00:16:40 GMT"})


async def tgz(request: web.Request) -> web.Response:
    return web.Response(body=archive())


def served(work: Callable[[str], Awaitable[BuildResult]]) -> BuildResult:
    async def scenario() -> BuildResult:
        app = web.Application()
        app.router.add_get("/dir/file.txt", file)
        app.router.add_get("/", file)
        app.router.add_get("/t.tgz", tgz)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        try:
            return await work(f"http://127.0.0.1:{port}")
        finally:
            await runner.cleanup()

    return asyncio.run(scenario())


@pytest.fixture
def kitchen(tmp_path: Path) -> Kitchen:
    (tmp_path / "kitchen").mkdir()
    return Kitchen(tmp_path / "kitchen")


def build(kitchen: Kitchen, lines: str) -> Path:
    async def work(url: str) -> BuildResult:
        request = BuildRequest(f"FROM busybox\n{lines.replace('URL', url)}\n")
        return await kitchen.builder.build(request, Recorder())

    result = served(work)
    assert os.listdir(kitchen.scratch) == []
    assert result.chain is not None
    return kitchen.snapshots.names[result.chain]


def test_a_file(kitchen: Kitchen) -> None:
    root = build(kitchen, "ADD URL/dir/file.txt?x=1 /d/\nADD --chmod=755 URL/dir/file.txt /n\nADD URL/ /e/")
    status = (root / "d/file.txt").stat()
    assert (root / "d/file.txt").read_bytes() == CONTENT
    assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o600, 1000)
    assert stat.S_IMODE((root / "n").stat().st_mode) == 0o755
    assert (root / "e/__unnamed__").exists()


def test_archives_are_unpacked_when_asked(kitchen: Kitchen) -> None:
    root = build(kitchen, "ADD URL/t.tgz /a/\nADD --unpack=true URL/t.tgz /b/")
    assert os.listdir(root / "a") == ["t.tgz"]
    assert os.listdir(root / "b") == ["inner"]


def test_checksums(kitchen: Kitchen) -> None:
    build(kitchen, f"ADD --checksum=sha256:{DIGEST} URL/dir/file.txt /d/")
    with pytest.raises(Invalid, match="ADD failed: digest mismatch"):
        build(kitchen, f"ADD --checksum=sha256:{'0' * 64} URL/dir/file.txt /d/")
    with pytest.raises(Invalid, match="invalid checksum digest format"):
        build(kitchen, "ADD --checksum=md5:00 URL/dir/file.txt /d/")
    with pytest.raises(Invalid, match="checksum requires HTTP"):
        build(kitchen, "ADD --checksum=sha256:00 local /d/")


def test_failures(kitchen: Kitchen) -> None:
    with pytest.raises(NotFound, match="with status 404 Not Found"):
        build(kitchen, "ADD URL/nope /d/")
    with pytest.raises(Unavailable):
        build(kitchen, "ADD http://127.0.0.1:1/x /d/")
    with pytest.raises(Invalid, match="source can't be a URL for COPY"):
        build(kitchen, "COPY URL/x /d/")


def test_git_addresses() -> None:
    parse = GitAddress.parse
    assert parse("https://x/y.git#main:sub") == GitAddress("https://x/y.git", "main", "sub")
    assert parse("https://x/y.git?branch=b&subdir=s") == GitAddress("https://x/y.git", "b", "s")
    assert parse("github.com/a/b") == GitAddress("https://github.com/a/b")
    with pytest.raises(CortenError):
        parse("https://x/y.git#--upload-pack=evil")


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "r.git"
    (repository / "sub").mkdir(parents=True)
    (repository / "sub/f").write_text("1")

    def git(*args: str) -> str:
        command = ["git", "-c", "user.name=x", "-c", "user.email=x@x", *args]
        return subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout

    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "one")
    head = git("rev-parse", "HEAD").strip()
    git("tag", "v1")
    (repository / "top").write_text("2")
    git("add", ".")
    git("commit", "-qm", "two")
    monkeypatch.setattr(remote, "GIT_PROTOCOLS", "file")
    address = f"file://{repository}"

    def cloned(source: str, **options: object) -> list[str]:
        target = tmp_path / f"clone{len(os.listdir(tmp_path))}"
        target.mkdir()
        asyncio.run(remote.clone(source, target, **options))  # type: ignore[arg-type]
        return sorted(os.listdir(target))

    assert cloned(address) == ["sub", "top"]
    assert cloned(f"{address}#v1") == ["sub"]
    assert cloned(f"{address}#main:sub") == ["f"]
    assert cloned(address, keep_git_dir=True) == [".git", "sub", "top"]
    assert cloned(f"{address}#{head}", checksum=head[:12]) == ["sub"]
    with pytest.raises(Invalid, match="expected checksum to match"):
        cloned(address, checksum=head)
    with pytest.raises(NotFound, match="subdir not found"):
        cloned(f"{address}#main:nope")
    with pytest.raises(Unavailable):
        cloned(f"{address}#nope")


def test_failures_are_told_in_gos_words(tmp_path: Path) -> None:
    with pytest.raises(
        Unavailable, match=r'Get "http://127.0.0.1:1/x": dial tcp 127.0.0.1:1: connect: connection refused'
    ):
        asyncio.run(remote.download("http://127.0.0.1:1/x", tmp_path))
    with pytest.raises(Unavailable, match=r'Get "http:///": http: no Host in request URL'):
        asyncio.run(remote.download("http:///", tmp_path))
