"""Images for several platforms, kept whole: pulled, listed, run, saved, loaded, pushed, removed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from rig.daemon import Daemon
from rig.registry import Registry

HERE, THERE, THIRD = "linux/amd64", "linux/arm64", "linux/s390x"


@pytest.fixture
def name(daemon: Daemon, registry: Registry, request: pytest.FixtureRequest) -> Iterator[str]:
    """A repository with an index of three platforms under the tag ``all``; nothing of it is here."""
    repository = f"{registry.address}/platforms/{abs(hash(request.node.name)) % 10**8}"
    tags = []
    for platform in (HERE, THERE, THIRD):
        tag = f"{repository}:{platform.rpartition('/')[2]}"
        base = "busybox" if platform == HERE else "scratch"
        text = f"FROM {base}\nLABEL platform={platform} of={repository}\nWORKDIR /{platform}\n"
        daemon.docker("build", "-q", "--platform", platform, "-t", tag, "-", stdin=text)
        daemon.docker("push", "-q", tag)
        tags.append(tag)
    daemon.docker("manifest", "create", "--insecure", f"{repository}:all", *tags)
    daemon.docker("manifest", "push", "--insecure", f"{repository}:all")
    daemon.docker("rmi", "-f", *tags)
    yield repository
    left = daemon.docker("images", "-q", repository, check=False).stdout.split()
    if left:
        daemon.docker("rmi", "-f", *left, check=False)


def digest_at(registry: Registry, reference: str) -> str:
    repository, _, tag = reference.removeprefix(f"{registry.address}/").rpartition(":")
    accept = "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.index.v1+json"
    accept += ", application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
    with registry.open(f"/v2/{repository}/manifests/{tag}", {"Accept": accept}) as answer:
        return str(answer.headers["Docker-Content-Digest"])


def available(daemon: Daemon, name: str) -> dict[str, bool]:
    rows = daemon.client().api._result(  # docker-py has no parameter for it
        daemon.client().api._get(daemon.client().api._url("/images/{0}/json", name), params={"manifests": "1"}), True
    )["Manifests"]
    return {
        f"{row['ImageData']['Platform']['os']}/{row['ImageData']['Platform']['architecture']}": row["Available"]
        for row in rows
    }


def architecture(daemon: Daemon, *arguments: str) -> str:
    return daemon.docker("image", "inspect", "--format", "{{.Architecture}}", *arguments).stdout.strip()


def test_platforms_add_up_under_one_name(daemon: Daemon, registry: Registry, name: str) -> None:
    image = f"{name}:all"
    daemon.docker("pull", "-q", "--platform", THERE, image)
    assert architecture(daemon, image) == "arm64"
    daemon.docker("pull", "-q", image)
    assert architecture(daemon, image) == "amd64"
    assert architecture(daemon, "--platform", THERE, image) == "arm64"
    assert (
        "does not match the specified platform"
        in daemon.docker("image", "inspect", "--platform", THIRD, image, check=False).stderr
    )
    assert available(daemon, image) == {HERE: True, THERE: True, THIRD: False}
    (row,) = [json.loads(line) for line in daemon.docker("images", "--format", "json", name).stdout.splitlines()]
    assert row["Tag"] == "all"
    digests = json.loads(daemon.docker("image", "inspect", "--format", "{{json .RepoDigests}}", image).stdout)
    assert digests == [f"{name}@{digest_at(registry, image)}"]
    tree = daemon.docker("images", "--tree").stdout
    assert tree.count("linux/arm64") == 1 and tree.count("linux/s390x") == 1
    history = daemon.docker("history", "--platform", THERE, "--no-trunc", "--format", "{{.CreatedBy}}", image).stdout
    assert "platform=linux/arm64" in history and "platform=linux/amd64" not in history
    again = daemon.docker("pull", "--platform", THERE, image).stdout
    assert "Image is up to date" in again


def test_containers_of_either_platform(daemon: Daemon, registry: Registry, name: str) -> None:
    image = f"{name}:all"
    daemon.docker("pull", "-q", image)
    assert daemon.docker("run", "--rm", "--platform", HERE, image, "pwd").stdout == "/linux/amd64\n"
    daemon.docker("create", "--name", "other", "--platform", THERE, image, "x")  # pulled, as it is not here
    assert daemon.docker("ps", "-a", "--format", "{{.Image}}").stdout.strip() == image
    api = daemon.client().api
    of_manifest = api.inspect_container("other")["ImageManifestDescriptor"]
    assert of_manifest["digest"] == digest_at(registry, f"{name}:arm64")
    assert of_manifest["platform"]["architecture"] == "arm64"
    (line,) = api.containers(all=True)
    assert line["ImageManifestDescriptor"] == of_manifest
    old = docker.APIClient(base_url=daemon.host, version="1.47")
    assert "ImageManifestDescriptor" not in old.inspect_container("other")
    assert daemon.docker("run", "--rm", image, "pwd").stdout == "/linux/amd64\n"
    assert "is using its referenced image" in daemon.docker("rmi", image, check=False).stderr
    daemon.docker("image", "prune", "-af", "--filter", f"label=of={name}")
    assert available(daemon, image)[THERE]
    daemon.docker("rm", "other")
    daemon.docker("rmi", image)
    assert daemon.docker("images", "-qa", name).stdout == ""


def test_one_platform_is_removed_and_then_all(daemon: Daemon, name: str) -> None:
    image = f"{name}:all"
    for platform in (HERE, THERE, THIRD):
        daemon.docker("pull", "-q", "--platform", platform, image)
    several = ("image", "rm", "--platform", HERE, "--platform", "linux/riscv64", image)
    assert "does not match the specified platform" in daemon.corten(*several, check=False).stderr
    assert available(daemon, image) == {HERE: True, THERE: True, THIRD: True}
    daemon.docker("image", "rm", "--platform", HERE, image)
    assert available(daemon, image) == {HERE: False, THERE: True, THIRD: True}
    assert architecture(daemon, image) in ("arm64", "s390x")
    before = set(daemon.docker("images", "-qa", "--no-trunc").stdout.split())
    daemon.docker("tag", image, f"{name}:more")
    daemon.docker("rmi", image)
    assert available(daemon, f"{name}:more") == {HERE: False, THERE: True, THIRD: True}
    deleted = daemon.docker("rmi", f"{name}:more").stdout
    assert deleted.count("Deleted: sha256:") >= 2
    assert len(before - set(daemon.docker("images", "-qa", "--no-trunc").stdout.split())) == 1
    assert "no fault" in daemon.corten("system", "check").stdout


def test_an_index_is_pushed_whole_or_says_what_is_missing(daemon: Daemon, registry: Registry, name: str) -> None:
    image, elsewhere = f"{name}:all", f"{name}-elsewhere:all"
    index = digest_at(registry, image)
    daemon.docker("pull", "-q", image)
    daemon.docker("tag", image, f"{name}:again")
    assert index in daemon.docker("push", f"{name}:again").stdout  # the rest is in the repository already
    assert digest_at(registry, f"{name}:again") == index
    daemon.docker("tag", image, elsewhere)
    said = daemon.docker("push", elsewhere)
    assert "only the available single-platform image was pushed" in said.stdout + said.stderr
    assert digest_at(registry, elsewhere) != index
    daemon.docker("pull", "-q", "--platform", THERE, image)
    refused = daemon.docker("push", elsewhere, check=False)
    assert refused.returncode == 1 and "linux/s390x" in refused.stderr
    assert "not all of them are available locally" in refused.stdout + refused.stderr
    daemon.docker("push", "--platform", THERE, elsewhere)
    daemon.docker("tag", image, elsewhere)
    daemon.docker("pull", "-q", "--platform", THIRD, image)
    assert index in daemon.docker("push", elsewhere).stdout
    assert digest_at(registry, elsewhere) == index
    assert daemon.corten("push", "-q", elsewhere).stdout.strip() == elsewhere
    daemon.docker("rmi", "-f", elsewhere, f"{name}:again")


def test_an_index_travels_in_an_archive(daemon: Daemon, registry: Registry, name: str, tmp_path: Path) -> None:
    image, archive = f"{name}:all", str(tmp_path / "both.tar")
    index = digest_at(registry, image)
    daemon.docker("pull", "-q", image)
    daemon.docker("pull", "-q", "--platform", THERE, image)
    daemon.docker("save", "-o", archive, image)
    daemon.docker("save", "-o", str(tmp_path / "one.tar"), "--platform", THERE, image)
    daemon.docker("rmi", image)
    assert daemon.docker("load", "-i", archive).stdout == f"Loaded image: {image}\n"
    assert available(daemon, image) == {HERE: True, THERE: True, THIRD: False}
    assert daemon.docker("run", "--rm", image, "pwd").stdout == "/linux/amd64\n"
    assert index in daemon.docker("push", image).stdout
    daemon.docker("rmi", image)
    daemon.docker("load", "-i", archive, "--platform", THERE)
    assert available(daemon, image) == {HERE: False, THERE: True, THIRD: False}
    daemon.docker("rmi", image)
    assert (
        "no image for platform linux/s390x"
        in daemon.docker("load", "-i", archive, "--platform", THIRD, check=False).stderr
    )
    daemon.docker("load", "-i", str(tmp_path / "one.tar"))
    assert architecture(daemon, image) == "arm64"
    assert "no fault" in daemon.corten("system", "check").stdout


@pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed")
def test_an_index_of_another_tool_is_loaded_whole(
    daemon: Daemon, registry: Registry, name: str, tmp_path: Path
) -> None:
    image, archive = f"{name}:all", tmp_path / "oci.tar"
    subprocess.run(
        ["skopeo", "copy", "-q", "--all", "--src-tls-verify=false",
         f"docker://{image}", f"oci-archive:{archive}:{image}"],
        check=True, capture_output=True,
    )  # fmt: skip
    daemon.docker("load", "-i", str(archive))
    assert available(daemon, image) == {HERE: True, THERE: True, THIRD: True}
    digests = json.loads(daemon.docker("image", "inspect", "--format", "{{json .RepoDigests}}", image).stdout)
    daemon.docker("push", "-q", image)
    assert digests == [f"{name}@{digest_at(registry, image)}"]
