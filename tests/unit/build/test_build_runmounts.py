"""RUN --mount on fakes: what the executor is given, what counts for the cache, what is left behind."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from corten.build.cachemounts import CacheMounts
from corten.build.dockerfile.runmount import RunMount, parse, parse_size
from corten.build.ports import RunRequest, StepMount
from corten.build.request import BuildRequest
from corten.errors import CortenError, Denied, Invalid, NotFound
from fakes.build import Kitchen, Recorder

pytestmark = pytest.mark.root


@dataclass
class Secrets:
    values: dict[str, bytes] = field(default_factory=dict)
    socket: str | None = None

    async def secret(self, id: str) -> bytes | None:
        return self.values.get(id)

    async def ssh(self, id: str) -> str | None:
        return self.socket


@dataclass
class Looking:
    """An executor that looks at the mounts while they are there."""

    look: Callable[[RunRequest], None]
    runs: int = 0

    async def run(self, request: RunRequest, output: Callable[[bytes], None]) -> int:
        self.runs += 1
        self.look(request)
        return 0


@pytest.fixture
def kitchen(tmp_path: Path) -> Kitchen:
    (tmp_path / "kitchen").mkdir()
    return Kitchen(tmp_path / "kitchen")


def run(
    kitchen: Kitchen, lines: str, look: Callable[[RunRequest], None], context: Path | None = None, **options: Any
) -> int:
    executor = Looking(look)
    object.__setattr__(kitchen.builder._ports, "executor", executor)
    request = BuildRequest(f"FROM busybox\n{lines}\n", context, **options)
    asyncio.run(kitchen.builder.build(request, Recorder()))
    assert os.listdir(kitchen.scratch) == []
    assert os.listdir(kitchen.private) == []
    return executor.runs


def fails(kitchen: Kitchen, lines: str, context: Path | None = None, **options: Any) -> CortenError:
    with pytest.raises(CortenError) as caught:
        run(kitchen, lines, lambda request: None, context, **options)
    return caught.value


def test_bind_of_the_context(kitchen: Kitchen, tmp_path: Path) -> None:
    context = tmp_path / "context"
    (context / "d").mkdir(parents=True)
    (context / "d/f").write_text("1")
    seen: list[StepMount] = []

    def look(request: RunRequest) -> None:
        seen[:] = request.mounts

    assert run(kitchen, "RUN --mount=type=bind,source=d,target=x/y cat", look, context) == 1
    assert seen == [StepMount("/x/y", "bind", str(context / "d"), ("rbind", "ro"))]
    assert run(kitchen, "RUN --mount=type=bind,source=d,target=x/y cat", look, context) == 0
    (context / "d/f").write_text("2")
    assert run(kitchen, "RUN --mount=type=bind,source=d,target=x/y cat", look, context) == 1
    assert run(kitchen, "RUN --mount=source=d/f,target=/f,rw cat", look, context) == 1
    assert seen[0].options == ("rbind", "rw")
    assert seen[0].source != str(context / "d/f")
    failure = fails(kitchen, "RUN --mount=source=nope,target=/f cat", context)
    assert isinstance(failure, NotFound)


def test_ignored_files_are_not_seen(kitchen: Kitchen, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    for name in ("keep", "drop"):
        (context / name).write_text(name)
    (context / ".dockerignore").write_text("drop\n.dockerignore\n")

    def look(request: RunRequest) -> None:
        assert os.listdir(request.mounts[0].source) == ["keep"]

    assert run(kitchen, "RUN --mount=target=/src cat", look, context) == 1


def test_bind_of_a_stage(kitchen: Kitchen) -> None:
    def look(request: RunRequest) -> None:
        mount = request.mounts[0]
        assert (mount.target, mount.type, mount.options) == ("/m", "bind", ("rbind", "ro"))
        assert Path(mount.source).name == "etc"

    assert run(kitchen, "FROM busybox AS b\nRUN --mount=from=0,source=/etc,target=/m cat", look) == 1


def test_cache_mounts_outlive_the_build(kitchen: Kitchen) -> None:
    def write(request: RunRequest) -> None:
        (Path(request.mounts[0].source) / "kept").write_text("x")
        assert Path(request.mounts[0].source).stat().st_uid == 7

    def read(request: RunRequest) -> None:
        assert (Path(request.mounts[0].source) / "kept").exists()

    line = "RUN --mount=type=cache,target=/c,uid=7 {}"
    assert run(kitchen, line.format("one"), write) == 1
    assert run(kitchen, line.format("two"), read) == 1
    assert run(kitchen, line.format("two"), read) == 0


def test_a_cache_mount_may_start_from_an_image(kitchen: Kitchen) -> None:
    def look(request: RunRequest) -> None:
        assert (Path(request.mounts[0].source) / "passwd").exists()

    assert run(kitchen, "RUN --mount=type=cache,id=x,from=busybox,source=etc,target=/c one", look) == 1


def test_sharing(tmp_path: Path) -> None:
    async def scenario() -> None:
        caches = CacheMounts(tmp_path)
        shared, private = RunMount("cache"), RunMount("cache", sharing="private")
        async with caches.acquire(shared, "/c", None) as one, caches.acquire(shared, "/c", None) as two:
            assert one == two
        async with caches.acquire(private, "/p", None) as one, caches.acquire(private, "/p", None) as two:
            assert one != two
        locked = RunMount("cache", sharing="locked")
        async with caches.acquire(locked, "/l", None):
            waiter = asyncio.create_task(caches.acquire(locked, "/l", None).__aenter__())
            await asyncio.sleep(0)
            assert not waiter.done()
        await waiter

    asyncio.run(scenario())


def test_secrets(kitchen: Kitchen) -> None:
    secrets = Secrets({"tok": b"s3cret"})

    def look(request: RunRequest) -> None:
        mount = request.mounts[0]
        status = os.stat(mount.source)
        assert (mount.target, status.st_mode & 0o777) == ("/run/secrets/tok", 0o400)
        assert Path(mount.source).read_bytes() == b"s3cret"
        assert "TOKEN=s3cret" in request.env

    lines = "RUN --mount=type=secret,id=tok --mount=type=secret,id=tok,env=TOKEN x"
    assert run(kitchen, lines, look, secrets=secrets) == 1
    assert b"s3cret" not in repr(kitchen.cache.records).encode()
    assert all(b"s3cret" not in config for config in kitchen.sink.images.values())
    # another value is no other build
    assert run(kitchen, lines, look, secrets=Secrets({"tok": b"other"})) == 0
    failure = fails(kitchen, "RUN --mount=type=secret,id=nope,required x", secrets=secrets)
    assert failure.message == "secret nope: not found"
    assert run(kitchen, "RUN --mount=type=secret,id=nope x", lambda request: None, secrets=secrets) == 1


def test_ssh(kitchen: Kitchen, tmp_path: Path) -> None:
    path = str(tmp_path / "agent")
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(path)

        def look(request: RunRequest) -> None:
            assert request.mounts[0] == StepMount("/run/buildkit/ssh_agent.0", "bind", path, ("rbind", "rw"))
            assert "SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0" in request.env

        assert run(kitchen, "RUN --mount=type=ssh x", look, secrets=Secrets(socket=path)) == 1
    assert isinstance(fails(kitchen, "RUN --mount=type=ssh,required y"), NotFound)


def test_tmpfs_and_scripts(kitchen: Kitchen) -> None:
    def look(request: RunRequest) -> None:
        tmpfs, script = request.mounts
        assert tmpfs == StepMount("/t", "tmpfs", "tmpfs", ("nosuid", "nodev", "mode=755", "size=1048576"))
        assert request.args == ("/dev/pipes/EOF",)
        assert Path(script.source).read_text() == "#!/usr/bin/env python\nprint($x)\n"
        assert os.access(script.source, os.X_OK)

    lines = "RUN --mount=type=tmpfs,target=/t,size=1m <<EOF\n#!/usr/bin/env python\nprint($x)\nEOF"
    assert run(kitchen, lines, look) == 1


def test_network_and_security(kitchen: Kitchen) -> None:
    seen: list[RunRequest] = []
    run(kitchen, "RUN --network=none a\nRUN b", seen.append, network="host")
    assert [request.network for request in seen] == ["none", "host"]
    failure = fails(kitchen, "RUN --security=insecure x")
    assert isinstance(failure, Denied)
    run(kitchen, "RUN --security=insecure x", seen.append, entitlements=frozenset({"security.insecure"}))
    assert seen[-1].privileged


def test_parsing() -> None:
    mount = parse("type=cache,dst=/a,id=x,sharing=locked,mode=0700,uid=1,gid=2,ro", str)
    assert mount == RunMount("cache", target="/a", id="x", sharing="locked", mode=0o700, uid=1, gid=2, readonly=True)
    assert parse('"source=a,b",target=/c', str).source == "a,b"
    assert parse("target=$t", lambda word: word.replace("$t", "/x")).target == "/x"
    assert (parse_size("1.5k"), parse_size("2GiB"), parse_size("x")) == (1536, 2 << 30, None)
    for text in ("target", "size=1", "type=cache,sharing=odd", "uid=x,type=cache", "what=1", "type=secret,from=x,id=y"):
        with pytest.raises(Invalid):
            parse(text, str)
