"""Others' clients push to and pull from our registry: images, indexes, and artifacts that refer to images."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import oras.client
import oras.oci
import pytest

from rig.daemon import Daemon
from rig.registry import Registry
from rig.serving import make_image

DOCKERFILE = "FROM busybox\nRUN echo {word} > /proof\nCMD cat /proof\n"
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def run(*command: str, cwd: Path | None = None) -> str:
    result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=cwd)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}{result.stderr}"
    return result.stdout


def pushed(daemon: Daemon, name: str, word: str = "travelled") -> str:
    """An image of ours at the registry; its digest there."""
    daemon.docker("build", "-q", "-t", name, "-", stdin=DOCKERFILE.format(word=word))
    told = daemon.docker("push", name).stdout
    daemon.docker("rmi", name)
    return told.split("digest: ")[1].split()[0]


def raw_manifest(registry: Registry, name: str, reference: str) -> tuple[dict[str, Any], str]:
    headers = {"Accept": ", ".join(INDEXES)}
    with registry.open(f"/v2/{name}/manifests/{reference}", headers) as answer:
        return json.load(answer), answer.headers["Docker-Content-Digest"]


# -- docker


def test_docker_py(daemon: Daemon, registry: Registry, client: docker.DockerClient) -> None:
    name = f"{registry.address}/peers/docker-py"
    daemon.docker("build", "-q", "-t", f"{name}:1", "-", stdin=DOCKERFILE.format(word="python"))
    lines = list(client.images.push(name, tag="1", stream=True, decode=True))
    digest = next(line["aux"]["Digest"] for line in lines if "aux" in line)
    assert client.images.get_registry_data(f"{name}:1").id == digest
    client.images.remove(f"{name}:1")
    image = client.images.pull(name, tag="1")
    assert image.attrs["RepoDigests"] == [f"{name}@{digest}"]
    assert client.containers.run(image, remove=True) == b"python\n"
    client.images.remove(f"{name}:1")
    with pytest.raises(docker.errors.NotFound):
        client.images.pull(name, tag="none")


def test_an_index_that_the_docker_command_line_makes(daemon: Daemon, registry: Registry) -> None:
    """``docker manifest`` speaks to the registry itself, without a daemon's help."""
    name = f"{registry.address}/peers/many"
    pushed(daemon, f"{name}:amd64", "index")
    daemon.docker("manifest", "create", "--insecure", f"{name}:all", f"{name}:amd64")
    daemon.docker("manifest", "annotate", "--os", "linux", "--arch", "amd64", f"{name}:all", f"{name}:amd64")
    digest = daemon.docker("manifest", "push", "--insecure", f"{name}:all").stdout.strip()
    found = json.loads(daemon.docker("manifest", "inspect", "--insecure", f"{name}:all").stdout)
    assert found["mediaType"] in INDEXES and found["manifests"][0]["platform"]["architecture"] == "amd64"
    assert raw_manifest(registry, "peers/many", "all")[1] == digest
    for client in (daemon.docker, daemon.corten):
        client("pull", f"{name}:all")
        assert client("run", "--rm", f"{name}:all").stdout == "index\n"
        client("rmi", f"{name}:all")


@pytest.fixture(scope="module")
def dockerd() -> Iterator[Callable[..., str]]:
    """Docker's own daemon, with nothing of the network touched: only to push and to pull."""
    root = Path(tempfile.mkdtemp(prefix="corten-dockerd-", dir="/tmp"))
    host = f"unix://{root}/s"
    environment = os.environ | {"DOCKER_HOST": host, "DOCKER_CONFIG": str(root / "config")}
    command = [
        "dockerd", "-H", host, "--data-root", f"{root}/data", "--exec-root", f"{root}/run", "--pidfile", f"{root}/pid",
        "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false",
    ]  # fmt: skip
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def ask(*arguments: str, stdin: str | None = None) -> str:
        result = subprocess.run(
            ["docker", *arguments], env=environment, input=stdin, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    try:
        deadline = time.monotonic() + 60
        while subprocess.run(["docker", "version"], env=environment, capture_output=True, check=False).returncode:
            assert process.poll() is None and time.monotonic() < deadline, (root / "log").read_text()[-3000:]
            time.sleep(0.1)
        yield ask
    finally:
        process.terminate()
        process.wait(30)
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for mount in reversed([each for each in mounts if each.startswith(str(root))]):
            subprocess.run(["umount", "-l", mount], capture_output=True, check=False)
        shutil.rmtree(root, ignore_errors=True)


@needs("dockerd")
def test_docker_with_its_own_daemon(
    daemon: Daemon, registry: Registry, dockerd: Callable[..., str], busybox_archive: str
) -> None:
    """What dockerd pushed runs with us, and what we pushed dockerd takes; its search finds both."""
    name = f"{registry.address}/peers/dockerd"
    dockerd("load", "-i", busybox_archive)
    dockerd("tag", "busybox", f"{name}:theirs")
    digest = dockerd("push", f"{name}:theirs").split("digest: ")[1].split()[0]
    assert "Layer already exists" in dockerd("push", f"{name}:theirs")
    assert daemon.docker("run", "--rm", f"{name}:theirs", "echo", "ran").stdout == "ran\n"
    assert (
        daemon.docker("image", "inspect", "-f", "{{.RepoDigests}}", f"{name}:theirs").stdout == f"[{name}@{digest}]\n"
    )
    daemon.docker("rmi", f"{name}:theirs")
    ours = pushed(daemon, f"{name}:ours")
    assert f"Digest: {ours}" in dockerd("pull", f"{name}:ours")
    assert f"Digest: {ours}" in dockerd("pull", f"{name}@{ours}")
    assert "peers/dockerd" in dockerd("search", f"{registry.address}/dockerd")


# -- skopeo and buildah


@needs("skopeo")
def test_skopeo_copies_an_index_and_what_it_holds(registry: Registry, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    entries = []
    (layout / "blobs/sha256").mkdir(parents=True)
    for seed, architecture in ((31, "amd64"), (32, "arm64")):
        image = make_image(seed=seed)
        for data in (*image.blobs.values(), image.manifest):
            (layout / "blobs/sha256" / hashlib.sha256(data).hexdigest()).write_bytes(data)
        entries.append(
            {
                "mediaType": image.media_type, "digest": str(image.digest), "size": len(image.manifest),
                "platform": {"os": "linux", "architecture": architecture},
            }
        )  # fmt: skip
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEXES[0], "manifests": entries}).encode()
    digest = hashlib.sha256(index).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(index)
    named = {"mediaType": INDEXES[0], "digest": f"sha256:{digest}", "size": len(index)}
    named["annotations"] = {"org.opencontainers.image.ref.name": "all"}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    there = f"docker://{registry.address}/peers/skopeo:all"
    skopeo = ["skopeo", "--insecure-policy"]
    run(*skopeo, "copy", "--all", "--dest-tls-verify=false", f"oci:{layout}:all", there)
    assert raw_manifest(registry, "peers/skopeo", "all")[1] == f"sha256:{digest}"
    run(*skopeo, "copy", "--all", "--src-tls-verify=false", there, f"oci:{tmp_path}/back:all")
    assert (tmp_path / "back/blobs/sha256" / digest).read_bytes() == index
    arm = run(*skopeo, "--override-arch", "arm64", "inspect", "--raw", "--tls-verify=false", there)
    assert json.loads(arm) == json.loads(index)


@needs("buildah")
def test_buildah(daemon: Daemon, registry: Registry, tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    root = tempfile.mkdtemp(prefix="corten-buildah-", dir="/tmp")
    store = ("buildah", "--storage-driver", "vfs", "--root", f"{root}/data", "--runroot", f"{root}/run")
    plain = ("--tls-verify=false", "--signature-policy", str(policy))
    name = f"{registry.address}/peers/buildah"
    try:
        pushed(daemon, f"{name}:base", "buildah")
        working = run(*store, "from", *plain, f"{name}:base").strip()
        (tmp_path / "file").write_text("changed\n")
        run(*store, "copy", working, str(tmp_path / "file"), "/proof")
        run(*store, "commit", "--signature-policy", str(policy), working, "changed")
        run(*store, "push", *plain, "changed", f"docker://{name}:changed")
        assert daemon.docker("run", "--rm", f"{name}:changed").stdout == "changed\n"
        run(*store, "manifest", "create", "list")
        run(*store, "manifest", "add", "--tls-verify=false", "list", f"docker://{name}:changed")
        run(*store, "manifest", "push", "--all", *plain, "list", f"docker://{name}:list")
        assert daemon.docker("run", "--rm", f"{name}:list").stdout == "changed\n"
        daemon.docker("rmi", f"{name}:changed", f"{name}:list")
    finally:
        shutil.rmtree(root, ignore_errors=True)


# -- artifacts


@pytest.mark.parametrize("chunked", [False, True], ids=["monolithic", "chunked"])
def test_oras(registry: Registry, daemon: Daemon, tmp_path: Path, chunked: bool) -> None:
    """A list of parts that refers to an image is found by asking for the image's referrers."""
    kind = "application/vnd.test.parts+json"
    name = f"peers/oras-{chunked}".lower()
    subject = pushed(daemon, f"{registry.address}/{name}:1")
    image, _ = raw_manifest(registry, name, subject)
    (tmp_path / "parts.json").write_text('{"parts": ["busybox"]}' + " " * 300_000)
    client = oras.client.OrasClient(hostname=registry.address, insecure=True, auth_backend="basic")
    client.push(
        target=f"{registry.address}/{name}:parts",
        files=[f"{tmp_path}/parts.json:{kind}"],
        manifest_config=None,
        manifest_annotations={"org.example.by": "oras"},
        subject=oras.oci.Subject(image["mediaType"], subject, len(json.dumps(image))),
        disable_path_validation=True,
        do_chunked=chunked,
        chunk_size=100_000,
        quiet=True,
    )
    (found,) = registry.json(f"/v2/{name}/referrers/{subject}")["manifests"]
    assert found["annotations"] == {"org.example.by": "oras"}
    assert found["digest"] == raw_manifest(registry, name, "parts")[1]
    (tmp_path / "out").mkdir()
    client.pull(target=f"{registry.address}/{name}:parts", outdir=str(tmp_path / "out"), overwrite=True)
    assert (tmp_path / "out/parts.json").read_text().strip() == '{"parts": ["busybox"]}'
    assert client.get_tags(f"{registry.address}/{name}") == ["1", "parts"]
