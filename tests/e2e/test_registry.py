"""Images travel: docker, corten and skopeo push to and pull from our registry; our client works with Debian's."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.daemon import Daemon
from rig.registry import Registry, free_port

DOCKERFILE = "FROM busybox\nRUN echo travelled > /proof\nCMD cat /proof\n"


@pytest.mark.parametrize("client", ["docker", "corten"])
def test_push_remove_pull_run(daemon: Daemon, registry: Registry, client: str) -> None:
    name = f"{registry.address}/team/{client}:1.0"
    run = getattr(daemon, client)
    run("build", "-t", name, "-", stdin=DOCKERFILE)
    pushed = run("push", name).stdout
    assert "digest: sha256:" in pushed
    digest = pushed.split("digest: ")[1].split()[0]
    run("rmi", name)
    pulled = run("pull", name).stdout
    assert f"Digest: {digest}" in pulled and f"Status: Downloaded newer image for {name}" in pulled
    assert f"Status: Image is up to date for {name}" in run("pull", name).stdout
    assert run("run", "--rm", name).stdout == "travelled\n"
    run("rmi", name)
    by_digest = f"{registry.address}/team/{client}@{digest}"
    assert run("run", "--rm", by_digest).stdout == "travelled\n"
    assert digest in run("images", "--digests", "--format", "{{.Digest}}").stdout
    run("rmi", by_digest)


def test_a_layer_that_is_there_is_not_sent_again(daemon: Daemon, registry: Registry) -> None:
    for name in ("one", "two"):
        daemon.docker("build", "-t", f"{registry.address}/{name}", "-", stdin=DOCKERFILE + f"LABEL name={name}\n")
    daemon.docker("push", f"{registry.address}/one")
    second = daemon.docker("push", f"{registry.address}/two").stdout
    assert "Layer already exists" in second or "Mounted from one" in second


def test_skopeo_reads_and_writes(daemon: Daemon, registry: Registry, tmp_path: Path) -> None:
    if not shutil.which("skopeo"):
        pytest.skip("skopeo is not installed")
    name = f"{registry.address}/skopeo"
    daemon.docker("build", "-t", name, "-", stdin=DOCKERFILE)
    daemon.docker("push", name)
    skopeo = ["skopeo", "--insecure-policy"]
    found = daemon.run(*skopeo, "inspect", "--tls-verify=false", f"docker://{name}").stdout
    assert json.loads(found)["Architecture"] == "amd64"
    daemon.run(*skopeo, "copy", "--src-tls-verify=false", f"docker://{name}", f"oci:{tmp_path}/layout:x")
    daemon.run(*skopeo, "copy", "--dest-tls-verify=false", f"oci:{tmp_path}/layout:x", f"docker://{name}:copied")
    assert daemon.docker("run", "--rm", f"{name}:copied").stdout == "travelled\n"


@pytest.fixture
def debians_registry(tmp_path: Path) -> Iterator[str]:
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed")
    address = f"127.0.0.1:{free_port()}"
    (tmp_path / "config.yml").write_text(
        f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {tmp_path}/store\nhttp:\n  addr: {address}\n"
    )
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(tmp_path / "config.yml")], stdout=log, stderr=log)
    deadline = time.monotonic() + 15
    while subprocess.run(["curl", "-sf", f"http://{address}/v2/"], capture_output=True, check=False).returncode:
        assert time.monotonic() < deadline, (tmp_path / "log").read_text()
        time.sleep(0.1)
    yield address
    process.terminate()
    process.wait(10)


def test_debians_registry(daemon: Daemon, debians_registry: str) -> None:
    name = f"{debians_registry}/ours"
    daemon.docker("build", "-t", name, "-", stdin=DOCKERFILE)
    daemon.docker("push", name)
    daemon.docker("rmi", name)
    daemon.docker("pull", name)
    assert daemon.docker("run", "--rm", name).stdout == "travelled\n"
    daemon.docker("rmi", name)


def test_save_load_import_export(daemon: Daemon, tmp_path: Path) -> None:
    daemon.docker("build", "-t", "travel:1", "-t", "travel:2", "-", stdin=DOCKERFILE)
    identity = daemon.docker("inspect", "-f", "{{.Id}}", "travel:1").stdout
    daemon.docker("save", "-o", str(tmp_path / "a.tar"), "travel:1", "travel:2", "busybox")
    daemon.docker("rmi", "travel:1", "travel:2")
    loaded = daemon.docker("load", "-i", str(tmp_path / "a.tar")).stdout
    assert "Loaded image: travel:1" in loaded and "Loaded image: travel:2" in loaded
    assert daemon.docker("inspect", "-f", "{{.Id}}", "travel:1").stdout == identity
    daemon.docker("create", "--name", "flat", "travel:1")
    daemon.docker("export", "-o", str(tmp_path / "flat.tar"), "flat")
    daemon.docker("import", "-c", "CMD cat /proof", str(tmp_path / "flat.tar"), "flattened")
    assert daemon.docker("run", "--rm", "flattened").stdout == "travelled\n"
    daemon.docker("rm", "flat")
    daemon.docker("rmi", "travel:1", "travel:2", "flattened")


def test_commit(daemon: Daemon) -> None:
    daemon.docker("run", "--name", "changed", "busybox", "sh", "-c", "echo new > /new; rm /etc/group")
    changes = daemon.docker("diff", "changed").stdout.splitlines()
    assert "A /new" in changes and "D /etc/group" in changes and "C /etc" in changes
    daemon.docker("commit", "-m", "why", "-c", "ENV X=y", "changed", "committed")
    script = "cat /new; ls /etc/group; echo $X"
    result = daemon.docker("run", "--rm", "committed", "sh", "-c", script)
    assert result.stdout == "new\ny\n" and "No such file" in result.stderr
    daemon.docker("rm", "changed")
    daemon.docker("rmi", "committed")
