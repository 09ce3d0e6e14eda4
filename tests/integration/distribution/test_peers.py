"""Others' programs: Debian's docker-registry as a peer of our client, skopeo as a peer of our server."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corten.distribution.client import Distribution
from corten.distribution.model import Credentials, RegistryConfig
from corten.errors import CortenError, NotFound
from corten.registry.passwords import hashed
from corten.spec import media_types
from corten.spec.reference import Reference
from corten.store.content import Content
from rig.registry import Registry, free_port
from rig.serving import Image, make_image, scenario

needs_skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
needs_docker_registry = pytest.mark.skipif(
    shutil.which("docker-registry") is None, reason="docker-registry is not installed"
)
IMAGE = make_image(size=1_500_000)


class DockerRegistry:
    """Debian's docker-registry on a free port."""

    def __init__(self, root: Path, auth: dict[str, Any] | None = None) -> None:
        self.port = free_port()
        config: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(root / "data")}, "delete": {"enabled": True}},
            "http": {"addr": f"127.0.0.1:{self.port}"},
        }
        (root / "config.yml").write_text(json.dumps(config | ({"auth": auth} if auth else {})))
        with (root / "log").open("wb") as log:
            self.process = subprocess.Popen(
                ["docker-registry", "serve", str(root / "config.yml")], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 15
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v2/", timeout=1).close()
                return
            except OSError as error:
                if getattr(error, "code", None) == 401:
                    return
                if time.monotonic() > deadline:
                    self.stop()
                    raise AssertionError((root / "log").read_text()) from error
                time.sleep(0.05)

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[DockerRegistry]:
    registry = DockerRegistry(tmp_path)
    yield registry
    registry.stop()


@pytest.fixture
def ours() -> Iterator[Registry]:
    registry = Registry()
    registry.start()
    yield registry
    registry.remove()


def content_at(root: Path, image: Image | None = None) -> Content:
    content = Content(root)
    content.make()
    for data in (image.blobs if image else {}).values():
        content.write(data)
    return content


@needs_docker_registry
@pytest.mark.parametrize("chunk_size", [0, 400_000])
@pytest.mark.parametrize("media_type", [media_types.OCI_MANIFEST, media_types.DOCKER_MANIFEST])
def test_docker_registry(peer: DockerRegistry, tmp_path: Path, media_type: str, chunk_size: int) -> None:
    image = make_image(size=1_500_000, media_type=media_type)

    @scenario
    async def story() -> None:
        distribution = Distribution(RegistryConfig(chunk_size=chunk_size))
        reference = Reference.parse(f"{peer.host}/team/app:v1")
        content = content_at(tmp_path / "a", image)
        pushed = await distribution.push(reference, image.manifest, media_type, image.descriptors, content)
        assert pushed.digest == image.digest
        neighbour = Reference.parse(f"{peer.host}/team/other:v1")
        await distribution.push(
            neighbour, image.manifest, media_type, image.descriptors, content, mount_from=["team/app"]
        )
        fresh = content_at(tmp_path / "b")
        for name in (reference, neighbour, reference.with_digest(pushed.digest)):
            pulled = await distribution.pull(name, fresh)
            assert pulled.descriptor.digest == image.digest
        assert all(fresh.read(digest) == data for digest, data in image.blobs.items())
        assert await distribution.tags(reference) == ["v1"]
        assert [found.name for found in await distribution.search(f"{peer.host}/other")] == ["team/other"]
        with pytest.raises(NotFound, match=r"manifest for .* not found: manifest unknown"):
            await distribution.pull(reference.with_tag("none"), fresh)
        with pytest.raises(NotFound):
            await distribution.pull(Reference.parse(f"{peer.host}/no/such:v1"), fresh)
        await distribution.delete(reference.with_digest(pushed.digest))
        with pytest.raises(NotFound):
            await distribution.pull(reference, fresh)
        await distribution.close()

    story()


@needs_docker_registry
def test_docker_registry_keeps_our_list_of_referrers(peer: DockerRegistry, tmp_path: Path) -> None:
    """It knows no referrers API: the client must keep the list under the referrers tag."""
    subject = {"mediaType": IMAGE.media_type, "digest": str(IMAGE.digest), "size": len(IMAGE.manifest)}
    signatures = [
        make_image(seed=seed, layers=0, subject=subject, annotations={"n": str(seed)}, artifactType="application/x")
        for seed in (31, 32)
    ]

    @scenario
    async def story() -> None:
        distribution = Distribution()
        reference = Reference.parse(f"{peer.host}/app:v1")
        content = content_at(tmp_path / "a", IMAGE)
        await distribution.push(reference, IMAGE.manifest, IMAGE.media_type, IMAGE.descriptors, content)
        for signature in (*signatures, signatures[0]):
            for data in signature.blobs.values():
                content.write(data)
            name = reference.with_digest(signature.digest)
            await distribution.push(name, signature.manifest, signature.media_type, signature.descriptors, content)
        listed = await distribution.fetch(reference.with_tag(f"sha256-{IMAGE.digest.hex}"))
        assert {entry.digest for entry in listed.index.manifests} == {each.digest for each in signatures}
        assert all(entry.artifact_type == "application/x" and entry.annotations for entry in listed.index.manifests)
        await distribution.close()

    story()


@needs_docker_registry
def test_docker_registry_with_passwords(tmp_path: Path) -> None:
    (tmp_path / "htpasswd").write_text(f"alice:{hashed('secret', cost=5)}\n")
    registry = DockerRegistry(tmp_path, {"htpasswd": {"realm": "x", "path": str(tmp_path / "htpasswd")}})
    alice = Credentials("alice", "secret")

    @scenario
    async def story() -> None:
        distribution = Distribution()
        reference = Reference.parse(f"{registry.host}/app:v1")
        content = content_at(tmp_path / "a", IMAGE)
        options = (reference, IMAGE.manifest, IMAGE.media_type, IMAGE.descriptors, content)
        with pytest.raises(CortenError, match="no basic auth credentials"):
            await distribution.push(*options)
        assert (await distribution.login(registry.host, alice)).status == "Login Succeeded"
        await distribution.push(*options, credentials=alice)
        await distribution.pull(reference, content_at(tmp_path / "b"), credentials=alice)
        await distribution.close()

    try:
        story()
    finally:
        registry.stop()


def skopeo(*words: str) -> str:
    done = subprocess.run(["skopeo", *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def oci_layout(root: Path, image: Image) -> str:
    """The image as an OCI layout, for others to read."""
    content = content_at(root, image)
    content.write(image.manifest)
    entry = {
        "mediaType": image.media_type,
        "digest": str(image.digest),
        "size": len(image.manifest),
        "annotations": {"org.opencontainers.image.ref.name": "v1"},
    }
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return f"oci:{root}:v1"


@needs_skopeo
@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_skopeo(ours: Registry, tmp_path: Path, form: str) -> None:
    there = f"docker://{ours.address}/team/app:v1"
    skopeo("copy", "--format", form, "--dest-tls-verify=false", oci_layout(tmp_path / "a", IMAGE), there)
    skopeo("copy", "--src-tls-verify=false", there, f"dir:{tmp_path / 'b'}")
    for layer in IMAGE.parsed.layers:
        assert (tmp_path / "b" / layer.digest.hex).read_bytes() == IMAGE.blobs[layer.digest]
    assert json.loads(skopeo("inspect", "--tls-verify=false", there))["RepoTags"] == ["v1"]
    assert json.loads(skopeo("list-tags", "--tls-verify=false", there.removesuffix(":v1")))["Tags"] == ["v1"]
    mounted = f"docker://{ours.address}/team/other:v1"
    skopeo("copy", "--src-tls-verify=false", "--dest-tls-verify=false", there, mounted)
    skopeo("delete", "--tls-verify=false", there)
    assert json.loads(skopeo("inspect", "--tls-verify=false", mounted))["Architecture"] == "amd64"


@needs_skopeo
def test_skopeo_zstd_and_our_pull(ours: Registry, tmp_path: Path) -> None:
    there = f"{ours.address}/team/zstd:v1"
    source = oci_layout(tmp_path / "a", IMAGE)
    skopeo("copy", "--dest-compress-format", "zstd", "--dest-tls-verify=false", source, f"docker://{there}")

    @scenario
    async def story() -> None:
        distribution = Distribution()
        pulled = await distribution.pull(Reference.parse(there), content_at(tmp_path / "b"))
        assert len(pulled.manifest.layers) == len(IMAGE.parsed.layers)
        await distribution.close()

    story()


@needs_skopeo
@pytest.mark.parametrize("flags", [(), ("--token",)], ids=["basic", "token"])
def test_skopeo_logs_in(tmp_path: Path, flags: tuple[str, ...]) -> None:
    (tmp_path / "htpasswd").write_text(f"alice:{hashed('secret', cost=5)}\n")
    registry = Registry("--htpasswd", str(tmp_path / "htpasswd"), *flags)
    try:
        registry.start()
        there = f"docker://{registry.address}/team/app:v1"
        source = oci_layout(tmp_path / "a", IMAGE)
        skopeo("copy", "--dest-creds", "alice:secret", "--dest-tls-verify=false", source, there)
        skopeo("inspect", "--creds", "alice:secret", "--tls-verify=false", there)
        with pytest.raises(AssertionError, match=r"unauthorized|authentication required|invalid username"):
            skopeo("inspect", "--creds", "alice:wrong", "--tls-verify=false", there)
    finally:
        registry.remove()
