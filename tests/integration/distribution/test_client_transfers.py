"""Our client against our server and against servers that misbehave on purpose."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from corten.distribution.client import Distribution
from corten.distribution.model import Credentials, RegistryConfig, Retries
from corten.errors import CortenError, Denied, Internal, Invalid, NotFound, NotImplementedYet, Unauthorized, Unavailable
from corten.registry.config import AccessRule, AuthOptions, Options
from corten.registry.passwords import hashed
from corten.spec import media_types
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.platform import Platform
from corten.spec.reference import Reference
from corten.store.content import Content
from rig.registry import Registry
from rig.serving import Image, answering, listening_socket, make_image, scenario, serving, session

QUICK = Retries(attempts=4, first_pause=0.01, longest_pause=0.05, longest_wait=2.0)
CONFIG = RegistryConfig(certificates=(), retries=QUICK, stall_timeout=2.0)
IMAGE = make_image(size=400_000)


class Told:
    """Progress, remembered."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def update(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        self.lines.append((id, status))

    def message(self, status: str, id: str | None = None) -> None:
        self.lines.append((id or "", status))

    def of(self, digest: Digest) -> list[str]:
        return list(dict.fromkeys(status for label, status in self.lines if label == digest.short))


@asynccontextmanager
async def client(config: RegistryConfig = CONFIG) -> AsyncIterator[Distribution]:
    distribution = Distribution(config)
    try:
        yield distribution
    finally:
        await distribution.close()


def content_at(root: Path, image: Image | None = None) -> Content:
    content = Content(root)
    content.make()
    for data in (image.blobs if image else {}).values():
        content.write(data)
    return content


def is_whole(content: Content, image: Image) -> bool:
    return all(content.has(digest) and content.read(digest) == data for digest, data in image.blobs.items())


def nothing_partial(root: Path) -> bool:
    return not [path for path in (root / "ingest").iterdir() if path.is_file()]


async def push(distribution: Distribution, where: str, image: Image, content: Content, **options: Any) -> Descriptor:
    reference = Reference.parse(where)
    return await distribution.push(reference, image.manifest, image.media_type, image.descriptors, content, **options)


@pytest.mark.parametrize("chunk_size", [0, 100_000, 1 << 20])
@scenario
async def test_push_then_pull(tmp_path: Path, chunk_size: int) -> None:
    image = make_image(size=2 << 20)
    config = dataclasses.replace(CONFIG, chunk_size=chunk_size)
    async with serving(tmp_path / "registry") as served, client(config) as distribution:
        told = Told()
        where = f"{served.host}/team/app:v1"
        pushed = await push(distribution, where, image, content_at(tmp_path / "a", image), progress=told)
        assert (pushed.digest, pushed.size) == (image.digest, len(image.manifest))
        layer = image.parsed.layers[0].digest
        assert told.of(layer)[-1] == "Pushed"
        assert "Pushing" in told.of(layer)
        again = Told()
        await push(distribution, where, image, content_at(tmp_path / "a"), progress=again)
        assert again.of(layer) == ["Preparing", "Layer already exists"]

        content, landed, told = content_at(tmp_path / "b"), [], Told()

        async def on_layer(position: int, blob: Descriptor) -> None:
            assert content.has(blob.digest)
            landed.append(position)

        pulled = await distribution.pull(Reference.parse(where), content, progress=told, on_layer=on_layer)
        assert is_whole(content, image)
        assert sorted(landed) == [0, 1]
        assert pulled.config == image.blobs[image.parsed.config.digest]
        assert pulled.descriptor.digest == image.digest
        assert told.of(layer) == ["Pulling fs layer", "Downloading", "Verifying Checksum", "Download complete"]
        assert nothing_partial(tmp_path / "b")


@scenario
async def test_layers_that_the_caller_has_are_not_fetched(tmp_path: Path) -> None:
    async with serving(tmp_path / "registry") as served, client() as distribution:
        where = f"{served.host}/app:v1"
        await push(distribution, where, IMAGE, content_at(tmp_path / "a", IMAGE))
        content, told = content_at(tmp_path / "b"), Told()
        await distribution.pull(Reference.parse(where), content, progress=told, have=lambda manifest, config: {0})
        first, second = IMAGE.parsed.layers
        assert told.of(first.digest) == ["Already exists"]
        assert not content.has(first.digest)
        assert content.has(second.digest)


@scenario
async def test_mount_from_a_neighbour(tmp_path: Path) -> None:
    async with serving(tmp_path / "registry") as served, client() as distribution:
        content, told = content_at(tmp_path / "a", IMAGE), Told()
        await push(distribution, f"{served.host}/one/app:v1", IMAGE, content)
        await push(
            distribution, f"{served.host}/two/app:v1", IMAGE, content, progress=told, mount_from=["no/such", "one/app"]
        )
        assert told.of(IMAGE.parsed.layers[0].digest)[-1] == "Mounted from one/app"


@scenario
async def test_platforms(tmp_path: Path) -> None:
    small, large = make_image(seed=5), make_image(seed=6)
    entries = [
        {"mediaType": image.media_type, "digest": str(image.digest), "size": len(image.manifest),
         "platform": {"os": "linux", "architecture": architecture}}
        for image, architecture in ((small, "arm64"), (large, "s390x"))
    ]  # fmt: skip
    index = json.dumps({"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": entries}).encode()
    async with serving(tmp_path / "registry") as served, client() as distribution:
        async with session(served) as asked:
            for image in (small, large):
                await asked.push_image("app", image, None)
        reference = Reference.parse(f"{served.host}/app:many")
        put = await distribution.put_manifest(reference, index, media_types.OCI_INDEX)
        content = content_at(tmp_path / "a")
        pulled = await distribution.pull(reference, content, platform=Platform.parse("linux/s390x"))
        assert pulled.resolved.descriptor.digest == large.digest
        assert pulled.descriptor.digest == put.digest == Digest.of(index)
        assert is_whole(content, large)
        assert not content.has(small.parsed.layers[0].digest)
        with pytest.raises(NotFound, match="no matching manifest for linux/riscv64 in the manifest list entries"):
            await distribution.pull(reference, content, platform=Platform.parse("linux/riscv64"))
        assert [
            e.platform.architecture for e in (await distribution.fetch(reference)).index.manifests if e.platform
        ] == [
            "arm64",
            "s390x",
        ]


@scenario
async def test_pinned_digest(tmp_path: Path) -> None:
    async with serving(tmp_path / "registry") as served, client() as distribution:
        await push(distribution, f"{served.host}/app:v1", IMAGE, content_at(tmp_path / "a", IMAGE))
        content = content_at(tmp_path / "b")
        pulled = await distribution.pull(Reference.parse(f"{served.host}/app@{IMAGE.digest}"), content)
        assert pulled.descriptor.digest == IMAGE.digest

    async def forger(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/v2/":
            return web.Response()
        other = make_image(seed=66)
        headers = {"Content-Type": other.media_type, "Docker-Content-Digest": str(IMAGE.digest)}
        return web.Response(body=other.manifest, headers=headers)

    async with answering(forger) as host, client() as distribution:
        for name in (f"{host}/app@{IMAGE.digest}", f"{host}/app:tag"):
            with pytest.raises(Invalid, match="manifest verification failed for digest"):
                await distribution.pull(Reference.parse(name), content_at(tmp_path / "c"))


class Faulty:
    """Serves one image, and does to blobs what the test wants."""

    def __init__(self, image: Image, **faults: Any) -> None:
        self.image = image
        self.faults = faults
        self.requests: list[tuple[str, str, str]] = []
        self.served = 0

    def blob_requests(self) -> list[str]:
        return [span for method, path, span in self.requests if "/blobs/" in path and method == "GET"]

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append((request.method, request.path, request.headers.get("Range", "")))
        if request.path == "/v2/":
            return web.Response()
        if "/manifests/" in request.path:
            headers = {"Content-Type": self.image.media_type, "Docker-Content-Digest": str(self.image.digest)}
            return web.Response(body=self.image.manifest, headers=headers)
        data = self.image.blobs[Digest.parse(request.path.rpartition("/")[2])]
        if len(data) < 100_000:
            return web.Response(body=data)
        self.served += 1
        return await self.blob(request, data, self.served)

    async def blob(self, request: web.BaseRequest, data: bytes, number: int) -> web.StreamResponse:
        fault = self.faults
        if number <= fault.get("busy", 0):
            return web.Response(
                status=429, headers={"Retry-After": "0"}, body=b'{"errors":[{"code":"TOOMANYREQUESTS"}]}'
            )
        if number <= fault.get("down", 0):
            return web.Response(status=503)
        if fault.get("wrong", 0) >= number:
            data = bytes(len(data))
        if fault.get("longer"):
            data += b"more"
        first = 0
        if (header := request.headers.get("Range")) and not fault.get("no_ranges"):
            first = int(header.removeprefix("bytes=").rstrip("-"))
        response = web.StreamResponse(status=206 if first else 200)
        if first:
            told = first + 1 if fault.get("wrong_range", 0) >= number else first
            response.headers["Content-Range"] = f"bytes {told}-{len(data) - 1}/{len(data)}"
        response.content_length = len(data) - first
        await response.prepare(request)
        stop = first + fault["break_after"] if fault.get("break_after") and number <= fault.get("breaks", 99) else None
        await response.write(data[first:stop])
        if stop is not None and stop < len(data):
            await asyncio.sleep(0.02)
            if fault.get("stall"):
                await asyncio.sleep(fault["stall"])
            if request.transport is not None:
                request.transport.abort() if fault.get("reset") else request.transport.close()
        return response


ONE_LAYER = make_image(seed=3, layers=1, size=2_000_000)


async def pull_from(faulty: Faulty, root: Path, told: Told | None = None, config: RegistryConfig = CONFIG) -> Content:
    content = content_at(root)
    async with answering(faulty) as host, client(config) as distribution:
        await distribution.pull(Reference.parse(f"{host}/app:v1"), content, progress=told or Told())
    assert is_whole(content, faulty.image)
    assert nothing_partial(root)
    return content


@pytest.mark.parametrize("reset", [False, True], ids=["truncated", "reset"])
@scenario
async def test_broken_blob_goes_on_where_it_broke(tmp_path: Path, reset: bool) -> None:
    faulty = Faulty(ONE_LAYER, break_after=300_000, reset=reset)
    await pull_from(faulty, tmp_path)
    spans = faulty.blob_requests()
    assert len(spans) >= 6  # more attempts than are allowed without getting any further
    starts = [int(span.removeprefix("bytes=").rstrip("-")) for span in spans if span]
    assert starts == sorted(set(starts))


@scenario
async def test_server_that_knows_no_ranges(tmp_path: Path) -> None:
    await pull_from(Faulty(ONE_LAYER, break_after=300_000, breaks=2, no_ranges=True), tmp_path)


@scenario
async def test_server_that_goes_on_elsewhere(tmp_path: Path) -> None:
    await pull_from(Faulty(ONE_LAYER, break_after=300_000, breaks=1, wrong_range=3), tmp_path)


@scenario
async def test_busy_and_down_are_waited_out(tmp_path: Path) -> None:
    await pull_from(Faulty(ONE_LAYER, busy=2), tmp_path / "busy")
    await pull_from(Faulty(ONE_LAYER, down=3), tmp_path / "down")


@scenario
async def test_slow_server_is_given_up_and_gone_on_with(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, stall_timeout=0.2)
    await pull_from(Faulty(ONE_LAYER, break_after=300_000, breaks=1, stall=1.0), tmp_path, config=config)


@scenario
async def test_wrong_bytes_once_are_fetched_again(tmp_path: Path) -> None:
    await pull_from(Faulty(ONE_LAYER, wrong=1), tmp_path)


@pytest.mark.parametrize("fault", [{"wrong": 99}, {"longer": True}], ids=["wrong", "longer"])
@scenario
async def test_tampered_blob_is_refused_and_leaves_nothing(tmp_path: Path, fault: dict[str, Any]) -> None:
    content = content_at(tmp_path)
    async with answering(Faulty(ONE_LAYER, **fault)) as host, client() as distribution:
        with pytest.raises(Invalid, match="filesystem layer verification failed for digest sha256:"):
            await distribution.pull(Reference.parse(f"{host}/app:v1"), content)
    assert not content.has(ONE_LAYER.parsed.layers[0].digest)


@scenario
async def test_partial_blob_survives_a_restart_of_ours(tmp_path: Path) -> None:
    faulty = Faulty(ONE_LAYER, break_after=700_000)
    no_patience = dataclasses.replace(CONFIG, retries=Retries(attempts=0))
    content = content_at(tmp_path)
    async with answering(faulty) as host:
        for _ in range(2):
            async with client(no_patience) as distribution:
                with pytest.raises(Unavailable):
                    await distribution.pull(Reference.parse(f"{host}/app:v1"), content)
        async with client(no_patience) as distribution:
            await distribution.pull(Reference.parse(f"{host}/app:v1"), Content(tmp_path))
    assert is_whole(content, ONE_LAYER)
    assert [span for span in faulty.blob_requests() if span] == ["bytes=700000-", "bytes=1400000-"]


@scenario
async def test_cancelled_pull_leaves_what_it_had(tmp_path: Path) -> None:
    faulty = Faulty(ONE_LAYER, break_after=1_200_000, breaks=1, stall=30.0)
    content = content_at(tmp_path)
    async with answering(faulty) as host, client() as distribution:
        pulling = asyncio.create_task(distribution.pull(Reference.parse(f"{host}/app:v1"), content))
        while not [path for path in (tmp_path / "ingest").iterdir() if path.stat().st_size >= 1 << 20]:
            await asyncio.sleep(0.02)
        pulling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pulling
        await distribution.pull(Reference.parse(f"{host}/app:v1"), content)
    assert [span for span in faulty.blob_requests() if span]
    assert is_whole(content, ONE_LAYER)


@scenario
async def test_two_pulls_of_one_layer_fetch_it_once(tmp_path: Path) -> None:
    faulty = Faulty(ONE_LAYER)
    content = content_at(tmp_path)
    async with answering(faulty) as host, client() as distribution:
        await asyncio.gather(*(distribution.pull(Reference.parse(f"{host}/app:v{n}"), content) for n in range(4)))
    assert len(faulty.blob_requests()) == 2  # the config and the layer


def test_registry_killed_in_mid_push_and_mid_pull(tmp_path: Path) -> None:
    registry = Registry()
    image = make_image(seed=8, layers=2, size=12_000_000)
    patient = dataclasses.replace(CONFIG, retries=Retries(attempts=40, first_pause=0.1, longest_pause=0.2))

    async def killing(work: Any, told: Told, word: str) -> Any:
        working = asyncio.create_task(work)
        for _ in range(2):
            told.lines.clear()
            while not working.done() and not any(status == word for _, status in told.lines):
                await asyncio.sleep(0.005)
            registry.kill()
            await asyncio.to_thread(registry.start)
        return await working

    async def story() -> None:
        async with client(patient) as distribution:
            where = f"{registry.address}/app:v1"
            told, content = Told(), content_at(tmp_path / "a", image)
            await killing(push(distribution, where, image, content, progress=told), told, "Pushing")
            content = content_at(tmp_path / "b")
            await killing(distribution.pull(Reference.parse(where), content, progress=told), told, "Downloading")
            assert is_whole(content, image)

    try:
        registry.start()
        asyncio.run(story())
    finally:
        registry.remove()


@pytest.mark.root
@scenario
async def test_full_disk_is_told_and_gone_on_with_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    try:
        async with serving(tmp_path / "registry") as served, client() as distribution:
            where = f"{served.host}/app:v1"
            await push(distribution, where, ONE_LAYER, content_at(tmp_path / "a", ONE_LAYER))
            content = content_at(disk)
            with pytest.raises(Internal, match="no space left on device"):
                await distribution.pull(Reference.parse(where), content)
            assert not content.has(ONE_LAYER.parsed.layers[0].digest)
            subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
            await distribution.pull(Reference.parse(where), content)
            assert is_whole(content, ONE_LAYER)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


# -- what users are told


async def failure(config: RegistryConfig, name: str, root: Path, **options: Any) -> CortenError:
    async with client(config) as distribution:
        with pytest.raises(CortenError) as caught:
            await distribution.pull(Reference.parse(name), content_at(root), **options)
        return caught.value


@scenario
async def test_wording(tmp_path: Path) -> None:
    async with serving(tmp_path / "registry") as served:
        error = await failure(CONFIG, f"{served.host}/x:y", tmp_path / "a")
        assert isinstance(error, NotFound)
        assert error.message == f"manifest for {served.host}/x:y not found: manifest unknown: manifest unknown"
    with listening_socket() as taken:
        port = taken.getsockname()[1]
    error = await failure(CONFIG, f"localhost:{port}/x:y", tmp_path / "a")
    assert isinstance(error, Unavailable)
    refused = f'Get "http://localhost:{port}/v2/": dial tcp 127.0.0.1:{port}: connect: connection refused'
    assert error.message == refused
    error = await failure(CONFIG, "no-such-host.invalid/x:y", tmp_path / "a")
    assert 'Get "https://no-such-host.invalid/v2/": dial tcp: lookup no-such-host.invalid' in error.message


ACCESS_DENIED = (
    "pull access denied for {host}/x, repository does not exist or may require 'docker login': "
    "denied: requested access to the resource is denied"
)


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (403, "DENIED", NotFound, ACCESS_DENIED),
        (404, "NAME_UNKNOWN", NotFound, "repository {host}/x not found: name unknown: requested access"),
        (401, "UNAUTHORIZED", Denied, "unauthorized: requested access"),
        (429, "TOOMANYREQUESTS", Unavailable, "toomanyrequests: requested access"),
        (500, "UNKNOWN", Unavailable, "unknown: requested access"),
    ],
)  # fmt: skip
@scenario
async def test_refusals(tmp_path: Path, status: int, code: str, kind: type[CortenError], words: str) -> None:
    async def refusing(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/v2/":
            return web.Response()
        error = {"code": code, "message": "requested access to the resource is denied"}
        return web.json_response({"errors": [error]}, status=status)

    async with answering(refusing) as host:
        error = await failure(CONFIG, f"{host}/x:y", tmp_path)
        assert isinstance(error, kind)
        assert words.format(host=host) in error.message


@scenario
async def test_long_waits_are_not_waited(tmp_path: Path) -> None:
    async def limiting(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/v2/":
            return web.Response()
        return web.Response(status=429, headers={"Retry-After": "3600"}, body=b"")

    async with answering(limiting) as host:
        error = await failure(CONFIG, f"{host}/x:y", tmp_path)
        assert error.hint is not None
        assert "mirror" in error.hint


@scenario
async def test_nonsense_is_refused(tmp_path: Path) -> None:
    bodies: list[tuple[str, bytes, type[CortenError]]] = [
        ("text/html", b"<html>captive portal</html>", Invalid),
        (media_types.OCI_MANIFEST, b"[]", Invalid),
        (media_types.OCI_MANIFEST, b'{"schemaVersion": 2, "config": 5, "layers": []}', Invalid),
        (media_types.DOCKER_MANIFEST_V1_SIGNED, b'{"schemaVersion": 1}', NotImplementedYet),
        (media_types.OCI_MANIFEST, IMAGE.manifest.replace(b"sha256:", b"sha256:../", 1), Invalid),
        (media_types.OCI_INDEX, IMAGE.manifest, Invalid),
    ]
    current: list[tuple[str, bytes]] = []

    async def portal(request: web.BaseRequest) -> web.StreamResponse:
        kind, body = current[-1]
        return web.Response(body=body, headers={"Content-Type": kind})

    async with answering(portal) as host:
        for kind, body, error in bodies:
            current.append((kind, body))
            assert isinstance(await failure(CONFIG, f"{host}/x:y", tmp_path), error), body


# -- who may


@asynccontextmanager
async def guarded(root: Path, **fields: Any) -> AsyncIterator[Any]:
    root.mkdir(exist_ok=True)
    (root / "htpasswd").write_text(f"alice:{hashed('secret', cost=4)}\nbob:{hashed('secret', cost=4)}\n")
    auth = AuthOptions(str(root / "htpasswd"), **fields)
    rules = (AccessRule(("**",), ("alice",), ("pull", "push", "delete")), AccessRule(("**",), ("bob",), ("pull",)))
    async with serving(root / "store", Options(auth=auth, access=rules)) as served:
        yield served


ALICE, BOB = Credentials("alice", "secret"), Credentials("bob", "secret")


@pytest.mark.parametrize("tokens", [False, True], ids=["basic", "token"])
@scenario
async def test_credentials(tmp_path: Path, tokens: bool) -> None:
    async with guarded(tmp_path / "registry", token=tokens) as served, client() as distribution:
        where = f"{served.host}/app:v1"
        content = content_at(tmp_path / "a", IMAGE)
        await push(distribution, where, IMAGE, content, credentials=ALICE)
        await distribution.pull(Reference.parse(where), content_at(tmp_path / "b"), credentials=BOB)
        with pytest.raises(Denied):
            await push(distribution, f"{served.host}/other:v1", IMAGE, content, credentials=BOB)
        with pytest.raises(CortenError, match=r"no basic auth credentials|unauthorized|denied"):
            await distribution.pull(Reference.parse(where), content_at(tmp_path / "c"))
        with pytest.raises(CortenError, match="incorrect username or password"):
            await distribution.pull(Reference.parse(where), content, credentials=Credentials("alice", "wrong"))


@pytest.mark.parametrize("tokens", [False, True], ids=["basic", "token"])
@scenario
async def test_login(tmp_path: Path, tokens: bool) -> None:
    async with guarded(tmp_path, token=tokens) as served, client() as distribution:
        login = await distribution.login(served.host, ALICE)
        assert login.status == "Login Succeeded"
        assert bool(login.identity_token) is tokens
        if tokens:
            kept = Credentials("alice", identity_token=login.identity_token)
            with pytest.raises(NotFound):  # known, and there is nothing
                await distribution.tags(Reference.parse(f"{served.host}/app"), kept)
        with pytest.raises(Unauthorized, match=r'Get "http://localhost:\d+/v2/": unauthorized: .*incorrect'):
            await distribution.login(served.host, Credentials("alice", "wrong"))


@scenario
async def test_expiring_tokens_are_renewed(tmp_path: Path) -> None:
    """Tokens that live shorter than the margin are asked for again with each request."""
    async with guarded(tmp_path / "registry", token=True, lifetime=1.0) as served, client() as distribution:
        where = f"{served.host}/app:v1"
        await push(distribution, where, IMAGE, content_at(tmp_path / "a", IMAGE), credentials=ALICE)
        await asyncio.sleep(1.1)
        await distribution.pull(Reference.parse(where), content_at(tmp_path / "b"), credentials=ALICE)


@scenario
async def test_credentials_stay_with_their_registry(tmp_path: Path) -> None:
    """Not sent to another host: neither where a blob is redirected to, nor to a mirror."""
    seen: list[str | None] = []

    async def storage(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.Response(body=IMAGE.blobs[Digest.parse(request.query["d"])])

    async with answering(storage) as elsewhere:

        async def registry(request: web.BaseRequest) -> web.StreamResponse:
            if request.headers.get("Authorization") is None:
                return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
            if "/manifests/" in request.path:
                return web.Response(body=IMAGE.manifest, headers={"Content-Type": IMAGE.media_type})
            digest = request.path.rpartition("/")[2]
            elsewhere_url = f"http://127.0.0.1:{elsewhere.partition(':')[2]}/x?d={digest}&Signature=a%2Bb"
            return web.Response(status=307, headers={"Location": elsewhere_url})

        async with answering(registry) as host, client() as distribution:
            content = content_at(tmp_path)
            await distribution.pull(Reference.parse(f"{host}/app:v1"), content, credentials=ALICE)
            assert is_whole(content, IMAGE)
    assert seen
    assert not any(seen)


@scenario
async def test_mirrors(tmp_path: Path) -> None:
    """A mirror is asked first and without credentials; one that is down, empty or lying is passed over."""
    asked: list[tuple[str, str | None, str | None]] = []

    async def broken(request: web.BaseRequest) -> web.StreamResponse:
        asked.append((request.path, request.headers.get("Authorization"), request.query.get("ns")))
        return web.Response(status=500 if "/manifests/" in request.path else 200)

    with listening_socket() as closed:
        port = closed.getsockname()[1]
    async with serving(tmp_path / "one") as mirror, serving(tmp_path / "two") as origin, answering(broken) as bad:
        async with client() as distribution:
            await push(distribution, f"{mirror.host}/app:mirrored", IMAGE, content_at(tmp_path / "a", IMAGE))
            other = make_image(seed=9)
            await push(distribution, f"{origin.host}/app:v1", other, content_at(tmp_path / "a", other))
        mirrors = {"*": (f"http://127.0.0.1:{port}", f"http://{bad}", mirror.url)}
        config = dataclasses.replace(CONFIG, mirrors=mirrors, retries=Retries(attempts=0))
        async with client(config) as distribution:
            for tag, image in (("mirrored", IMAGE), ("v1", other)):
                content = content_at(tmp_path / tag)
                await distribution.pull(Reference.parse(f"{origin.host}/app:{tag}"), content, credentials=ALICE)
                assert is_whole(content, image)
            third = make_image(seed=10)
            await push(distribution, f"{origin.host}/app:v2", third, content_at(tmp_path / "a", third))
        async with session(mirror) as at_mirror:
            assert (await at_mirror.ask("GET", "/v2/app/manifests/v2")).status == 404
    assert asked
    assert all(authorization is None for _, authorization, _ in asked)
    assert all(ns == origin.host for path, _, ns in asked if "/manifests/" in path)


@scenario
async def test_search(tmp_path: Path) -> None:
    async with serving(tmp_path / "registry") as served, client() as distribution:
        for name in ("team/web", "team/db"):
            await push(distribution, f"{served.host}/{name}:v1", IMAGE, content_at(tmp_path / "a", IMAGE))
        assert [found.name for found in await distribution.search(f"{served.host}/web")] == ["team/web"]
        assert await distribution.tags(Reference.parse(f"{served.host}/team/web")) == ["v1"]
        await distribution.delete(Reference.parse(f"{served.host}/team/web:v1"))
        assert await distribution.tags(Reference.parse(f"{served.host}/team/web")) == []
