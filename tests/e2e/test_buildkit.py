"""BuildKit's API under its real clients: Docker Compose (buildx inside), Debian's docker, buildx if it is here.

``CORTEN_TEST_BUILDX`` names a buildx plug-in; without one those tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.daemon import Daemon
from rig.registry import Registry

# The package's own script forgets the exit status.
COMPOSE = Path(sysconfig.get_path("purelib")) / "compose" / "docker-compose"
BUILDX = os.environ.get("CORTEN_TEST_BUILDX", "")
OLD_DOCKER = "/usr/bin/docker"

DOCKERFILE = """\
FROM busybox AS builder
ARG WHO=nobody
RUN --mount=type=secret,id=token echo "hello $WHO $(cat /run/secrets/token)" > /hello; echo on stderr >&2
FROM busybox AS unused
RUN false
FROM busybox
WORKDIR /app
COPY --from=builder /hello hello
COPY . context/
ENV GREETING=served
CMD ["sh", "-c", "cat /app/hello; ls -a /app/context; echo $GREETING"]
"""
COMPOSE_FILE = """\
services:
  web:
    image: buildkit/web
    build:
      context: ./context
      args: {WHO: compose}
      secrets: [token]
      labels: {origin: test}
      tags: ["buildkit/second:1"]
secrets: {token: {file: ./token}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    context = tmp_path / "context"
    (context / "deep" / "er").mkdir(parents=True)
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / ".dockerignore").write_text("*.secret\ndeep/er\n")
    (context / "left.secret").write_text("no")
    (context / "deep" / "er" / "x").write_text("no")
    (context / "deep" / "kept").write_text("yes")
    (tmp_path / "token").write_text("s3cret")
    (tmp_path / "compose.yaml").write_text(COMPOSE_FILE)
    return tmp_path


def run(daemon: Daemon, where: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command with the client's default builder, whatever that is."""
    environment = {key: value for key, value in daemon.environment.items() if key != "DOCKER_BUILDKIT"}
    done = subprocess.run(
        command, cwd=where, env=environment | variables, capture_output=True, text=True, timeout=100, check=False
    )
    done.stdout += done.stderr
    return done


def compose(daemon: Daemon, where: Path, *arguments: str) -> str:
    done = run(daemon, where, str(COMPOSE), "-p", "bk", "--progress", "plain", *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_compose_builds_and_runs(daemon: Daemon, project: Path) -> None:
    shown = compose(daemon, project, "build")
    for line in (
        "[web internal] load build definition from Dockerfile",
        "[web internal] load .dockerignore",
        "[web builder 2/2] RUN --mount=type=secret",
        "on stderr",
        "[web stage-2 4/4] COPY . context/",
        "naming to docker.io/buildkit/web:latest",
        "naming to docker.io/buildkit/second:1",
    ):
        assert line in shown
    assert "s3cret" not in shown and "RUN false" not in shown
    try:
        said = compose(daemon, project, "up", "--no-log-prefix")
    finally:
        compose(daemon, project, "down", "-t", "0")
    assert "hello compose s3cret" in said and "served" in said and "left.secret" not in said
    labels = daemon.docker("inspect", "--format", "{{json .Config.Labels}}", "buildkit/second:1").stdout
    assert json.loads(labels)["origin"] == "test"
    kept = daemon.docker("run", "--rm", "buildkit/web", "find", "/app/context", "-type", "f").stdout.split()
    assert "/app/context/deep/kept" in kept and "/app/context/deep/er/x" not in kept


def test_unchanged_files_do_not_come_again(daemon: Daemon, project: Path) -> None:
    compose(daemon, project, "build")
    again = compose(daemon, project, "build")
    assert "transferring context: 0B" in again
    cached = [line for line in again.splitlines() if line.endswith(" CACHED")]
    assert len(cached) >= 5, again
    (project / "context" / "deep" / "kept").write_text("12345")
    (project / "context" / "Dockerfile").touch()
    third = compose(daemon, project, "build")
    assert "transferring context: " in third and "transferring context: 0B" not in third
    assert daemon.docker("run", "--rm", "buildkit/web", "cat", "/app/context/deep/kept").stdout == "12345"


@pytest.mark.parametrize(
    ("dockerfile", "message"),
    [
        ("FROM busybox\nRUN echo before; exit 3\n", "did not complete successfully: exit code: 3"),
        ("FROM busybox\nCOPY absent /\n", "excluded by .dockerignore"),
        ("FROM busybox\nNOSUCH x\n", "dockerfile parse error on line 2: unknown instruction: NOSUCH"),
    ],
)
def test_failures_are_told(daemon: Daemon, project: Path, dockerfile: str, message: str) -> None:
    (project / "context" / "Dockerfile").write_text(dockerfile)
    done = run(daemon, project, str(COMPOSE), "-p", "bk", "--progress", "plain", "build")
    assert done.returncode != 0
    assert message in done.stdout and ">>> " + dockerfile.splitlines()[1] in done.stdout
    assert not list((daemon.data_root / "builds" / "work").iterdir())


def test_a_missing_dockerfile(daemon: Daemon, project: Path) -> None:
    (project / "context" / "Dockerfile").unlink()
    done = run(daemon, project, str(COMPOSE), "-p", "bk", "build")
    assert done.returncode != 0
    assert "failed to read dockerfile: open Dockerfile: no such file or directory" in done.stdout


def test_several_platforms_become_an_index(daemon: Daemon, project: Path, registry: Registry) -> None:
    name = f"{registry.address}/buildkit/many:1"
    (project / "context" / "Dockerfile").write_text(
        "FROM scratch\nARG TARGETPLATFORM\nLABEL for=$TARGETPLATFORM\nCOPY deep/kept /kept\n"
    )
    (project / "compose.yaml").write_text(
        f"services: {{web: {{image: '{name}', build: {{context: ./context, "
        "platforms: [linux/amd64, linux/arm64]}}}\n"
    )
    compose(daemon, project, "build")
    show = ("image", "inspect", "--format", "{{.Architecture}} {{.Config.Labels.for}}")
    for platform in ("linux/amd64", "linux/arm64"):
        told = daemon.docker(*show, "--platform", platform, name).stdout.strip()
        assert told == f"{platform.rpartition('/')[2]} {platform}"
    daemon.docker("push", "-q", name)
    listed = json.loads(daemon.corten("manifest", "inspect", name).stdout)["manifests"]
    assert [each["platform"]["architecture"] for each in listed] == ["amd64", "arm64"]
    daemon.docker("rmi", "-f", name)


CACHED = """\
FROM busybox
RUN --mount=type=cache,target=/kept cat /proc/sys/kernel/random/uuid > /made; cat /made >> /kept/all
RUN wc -l < /proc/self/cgroup > /other
"""


@pytest.mark.parametrize("kind", ["local", "registry"])
def test_caches_go_out_and_come_back(daemon: Daemon, project: Path, registry: Registry, kind: str) -> None:
    where = {"local": "dest={d},src={d}", "registry": "ref={r}/buildkit/cache:1"}[kind]
    where = where.format(d=project / "cache", r=registry.address)
    out = where.rpartition(",src=")[0] or where
    back = where.removeprefix(f"{out},")
    (project / "context" / "Dockerfile").write_text(CACHED)
    file = (
        "services: {{web: {{image: buildkit/cached, build: {{context: ./context, {way}: ['type={kind},{where}']}}}}}}\n"
    )
    (project / "compose.yaml").write_text(file.format(way="cache_to", kind=kind, where=out))
    assert "exporting cache to" in compose(daemon, project, "build", "--no-cache")
    made = daemon.docker("run", "--rm", "buildkit/cached", "cat", "/made").stdout
    daemon.docker("rmi", "-f", "buildkit/cached")
    daemon.docker("builder", "prune", "-af")
    (project / "compose.yaml").write_text(file.format(way="cache_from", kind=kind, where=back))
    shown = compose(daemon, project, "build")
    assert "importing cache manifest from" in shown and shown.count("CACHED") >= 2
    assert daemon.docker("run", "--rm", "buildkit/cached", "cat", "/made").stdout == made
    daemon.docker("rmi", "-f", "buildkit/cached")


def test_caches_elsewhere_are_refused(daemon: Daemon, project: Path) -> None:
    for way in ("cache_to", "cache_from"):
        (project / "compose.yaml").write_text(
            f"services: {{web: {{build: {{context: ./context, {way}: ['type=azblob,account_url=http://x,name=n']}}}}}}\n"
        )
        done = run(daemon, project, str(COMPOSE), "-p", "bk", "build")
        assert done.returncode != 0 and "'azblob' is not supported by this engine" in done.stdout


def test_docker_build_needs_no_plugin(daemon: Daemon, project: Path) -> None:
    (project / "context" / "Dockerfile").write_text("FROM busybox\nRUN echo built\n")
    done = run(daemon, project, "docker", "build", "-t", "buildkit/plain", "context")
    assert done.returncode == 0 and "Successfully tagged buildkit/plain:latest" in done.stdout


def has_old_docker() -> bool:
    if not os.path.exists(OLD_DOCKER):
        return False
    told = subprocess.run([OLD_DOCKER, "--version"], capture_output=True, text=True, check=False).stdout
    return told.startswith(("Docker version 19.", "Docker version 20.", "Docker version 22."))


@pytest.mark.skipif(not has_old_docker(), reason="docker without the builder's plug-in is not here")
def test_the_client_before_buildx(daemon: Daemon, project: Path) -> None:
    """Its BuildKit is in POST /build?version=2, with a session for the files."""
    done = run(
        daemon, project, OLD_DOCKER, "build", "--progress", "plain", "-t", "buildkit/old", "--build-arg", "WHO=old",
        "--secret", "id=token,src=token", "context", DOCKER_BUILDKIT="1",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "naming to docker.io/buildkit/old:latest" in done.stdout
    assert "hello old s3cret" in daemon.docker("run", "--rm", "buildkit/old").stdout


@pytest.mark.parametrize("path", ["grpc", "session"])
def test_what_is_no_upgrade_is_refused(daemon: Daemon, path: str) -> None:
    for headers in ([], ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket"]):
        told = daemon.run(
            "curl", "-si", "-X", "POST", "--unix-socket", str(daemon.socket), *headers, f"http://d/{path}"
        )
        assert " 400 " in told.stdout.splitlines()[0]


@pytest.fixture
def buildx(daemon: Daemon, tmp_path: Path) -> Iterator[dict[str, str]]:
    if not BUILDX:
        pytest.skip("CORTEN_TEST_BUILDX names no buildx plug-in")
    config = tmp_path / "config"
    (config / "cli-plugins").mkdir(parents=True)
    shutil.copy(BUILDX, config / "cli-plugins" / "docker-buildx")
    yield {"DOCKER_CONFIG": str(config)}


def test_buildx_outputs(daemon: Daemon, project: Path, buildx: dict[str, str]) -> None:
    command = ("docker", "buildx", "build", "--progress", "plain", "--secret", "id=token,src=token")
    built = run(daemon, project, *command, "--metadata-file", "told", "-t", "buildkit/x", "context", **buildx)
    assert built.returncode == 0, built.stdout
    told = json.loads((project / "told").read_text())
    assert told["image.name"] == "docker.io/buildkit/x:latest"
    assert told["containerimage.digest"] == daemon.docker("inspect", "--format", "{{.Id}}", "buildkit/x").stdout.strip()
    for output in ("type=local,dest=out", "type=tar,dest=out.tar"):
        done = run(daemon, project, *command, "-o", output, "context", **buildx)
        assert done.returncode == 0, done.stdout
    assert (project / "out/app/hello").read_text() == "hello nobody s3cret\n"
    assert os.stat(project / "out/bin/sh").st_ino == os.stat(project / "out/bin/busybox").st_ino
    subprocess.run(["tar", "xf", "out.tar", "app/hello"], cwd=project, check=True)
    assert (project / "app/hello").read_text() == "hello nobody s3cret\n"


def test_buildx_archives_and_push(daemon: Daemon, project: Path, buildx: dict[str, str], registry: Registry) -> None:
    (project / "context" / "Dockerfile").write_text("FROM busybox\nCOPY deep/kept /kept\n")
    command = ("docker", "buildx", "build", "--progress", "plain")
    for kind in ("oci", "docker"):
        output = f"type={kind},dest={kind}.tar"
        done = run(daemon, project, *command, "-o", output, "-t", f"buildkit/{kind}", "context", **buildx)
        assert done.returncode == 0, done.stdout
        loaded = daemon.docker("load", "-i", str(project / f"{kind}.tar")).stdout
        assert loaded == f"Loaded image: buildkit/{kind}:latest\n"
        assert daemon.docker("run", "--rm", f"buildkit/{kind}", "cat", "/kept").stdout == "yes"
        daemon.docker("rmi", "-f", f"buildkit/{kind}")
    several = ("--platform", "linux/amd64,linux/arm64", "empty")
    (project / "empty").mkdir()
    (project / "empty" / "Dockerfile").write_text("FROM scratch\nARG TARGETARCH\nLABEL for=$TARGETARCH\n")
    done = run(daemon, project, *command, "-o", "type=oci,dest=both.tar", "-t", "buildkit/both", *several, **buildx)
    assert done.returncode == 0, done.stdout
    daemon.docker("load", "-i", str(project / "both.tar"))
    show = ("image", "inspect", "--platform", "linux/arm64", "--format", "{{.Config.Labels.for}}")
    assert daemon.docker(*show, "buildkit/both").stdout == "arm64\n"
    daemon.docker("rmi", "-f", "buildkit/both")
    refused = run(daemon, project, *command, "-o", "out", *several, **buildx)
    assert refused.returncode != 0 and "takes one platform at a time" in refused.stdout
    refused = run(daemon, project, *command, "-o", "type=oci,dest=o,tar=false", "context", **buildx)
    assert refused.returncode != 0 and "tar=false is not supported" in refused.stdout
    name = f"{registry.address}/buildkit/pushed:1"
    done = run(daemon, project, *command, "--push", "--metadata-file", "told", "-t", name, "context", **buildx)
    assert done.returncode == 0 and f"pushing {name}" in done.stdout, done.stdout
    digest = json.loads((project / "told").read_text())["containerimage.digest"]
    daemon.docker("rmi", "-f", name)
    assert digest in daemon.docker("pull", name).stdout
    daemon.docker("rmi", "-f", name)


def test_buildx_contexts_and_bake(daemon: Daemon, project: Path, buildx: dict[str, str]) -> None:
    (project / "docker-bake.hcl").write_text(
        'group "default" { targets = ["app"] }\n'
        'target "base" { dockerfile-inline = "FROM busybox\\nRUN echo base > /base" }\n'
        'target "app" {\n  contexts = { base = "target:base", files = "context" }\n  tags = ["buildkit/bake"]\n'
        '  dockerfile-inline = "FROM base\\nCOPY --from=files deep/kept /kept"\n}\n'
    )
    done = run(daemon, project, "docker", "buildx", "bake", "-f", "docker-bake.hcl", "--progress", "plain", **buildx)
    assert done.returncode == 0, done.stdout
    assert daemon.docker("run", "--rm", "buildkit/bake", "cat", "/base", "/kept").stdout == "base\nyes"


def test_buildx_asks_and_tidies(daemon: Daemon, project: Path, buildx: dict[str, str]) -> None:
    (project / "context" / "Dockerfile").write_text("FROM busybox\nRUN true\nCMD echo x\n")
    checked = run(daemon, project, "docker", "buildx", "build", "--check", "context", **buildx)
    assert checked.returncode != 0 and "JSONArgsRecommended" in checked.stdout
    built = run(daemon, project, "docker", "build", "--progress", "plain", "context", **buildx)
    assert built.returncode == 0 and "1 warning found" in built.stdout
    assert "ID" in run(daemon, project, "docker", "buildx", "du", **buildx).stdout
    pruned = run(daemon, project, "docker", "buildx", "prune", "-af", **buildx)
    assert pruned.returncode == 0 and "Total:" in pruned.stdout
