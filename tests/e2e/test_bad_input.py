"""Bad input gives Docker's status and message class and leaves nothing half-made."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import tarfile
from pathlib import Path

import docker
import docker.errors
import pytest

from rig.daemon import Daemon
from rig.registry import Registry, free_port


def refused(
    daemon: Daemon, *arguments: str, says: str, status: int | None = None, stdin: str | bytes | None = None
) -> None:
    result = daemon.docker(*arguments, check=False, stdin=stdin)
    assert result.returncode != 0
    assert says.lower() in (result.stderr + result.stdout).lower(), result.stderr + result.stdout
    if status is not None:
        assert result.returncode == status


def test_unknown_image(daemon: Daemon, client: docker.DockerClient) -> None:
    with pytest.raises(docker.errors.ImageNotFound):
        client.api.create_container("no-such-image", "true")
    refused(daemon, "inspect", "no-such", says="no such object")
    refused(daemon, "rmi", "no-such-image", says="No such image: no-such-image")
    refused(daemon, "history", "no-such-image", says="No such image: no-such-image")


@pytest.mark.parametrize("reference", ["UPPERCASE", "a//b", "name:tag:tag", "x" * 300, "busybox@sha256:12", "-bad"])
def test_bad_references(client: docker.DockerClient, reference: str) -> None:
    with pytest.raises(docker.errors.APIError) as caught:
        client.api.create_container(reference, "true")
    assert caught.value.status_code in (400, 404)
    with pytest.raises(docker.errors.APIError) as caught:
        client.api._raise_for_status(
            client.api._post(client.api._url("/images/{0}/tag", "busybox"), params={"repo": reference})
        )
    assert caught.value.status_code == 400


def test_name_in_use(daemon: Daemon) -> None:
    first = daemon.docker("create", "--name", "taken", "busybox").stdout.strip()
    refused(
        daemon,
        "create",
        "--name",
        "taken",
        "busybox",
        says=f'The container name "/taken" is already in use by container "{first}"',
    )
    refused(daemon, "create", "--name", "bad/name", "busybox", says="Invalid container name (bad/name)")
    assert len(daemon.docker("ps", "-aq").stdout.split()) == 1


def test_port_in_use(daemon: Daemon) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        refused(
            daemon, "run", "-d", "--name", "late", "-p", f"127.0.0.1:{port}:80", "busybox", "sleep", "9",
            says="address already in use", status=125,
        )  # fmt: skip
    state = json.loads(daemon.docker("inspect", "late").stdout)[0]["State"]
    assert state["Status"] == "created" and state["Pid"] == 0
    daemon.docker("rm", "late")
    daemon.docker("run", "-d", "--name", "first", "-p", f"127.0.0.1:{port}:80", "busybox", "sleep", "100")
    refused(
        daemon, "run", "-d", "--name", "second", "-p", f"127.0.0.1:{port}:80", "busybox", "sleep", "9",
        says="port is already allocated", status=125,
    )  # fmt: skip


def test_unknown_containers_and_states(daemon: Daemon) -> None:
    refused(daemon, "start", "nobody", says="No such container: nobody")
    refused(daemon, "logs", "nobody", says="No such container: nobody")
    refused(daemon, "exec", "nobody", "true", says="No such container: nobody")
    daemon.docker("run", "-d", "--name", "busy", "busybox", "sleep", "100")
    refused(daemon, "rm", "busy", says="container is running: stop the container before removing or force remove")
    daemon.docker("kill", "busy")
    refused(daemon, "kill", "busy", says="is not running")
    refused(daemon, "exec", "busy", "true", says="is not running")
    refused(daemon, "pause", "busy", says="is not running")


def test_bad_dockerfiles_show_the_line(daemon: Daemon) -> None:
    refused(daemon, "build", "-", stdin="FROM busybox\nRUN true\nFLY away\n", says="line 3: unknown instruction: FLY")
    refused(daemon, "build", "-", stdin="RUN true\n", says="no build stage in current context")
    refused(daemon, "build", "-", stdin="", says="cannot be empty")
    refused(daemon, "build", "-", stdin="FROM busybox\nRUN exit 3\n", says="returned a non-zero code: 3")
    refused(daemon, "build", "-", stdin="FROM busybox\nCOPY nothing /\n", says="nothing")
    refused(daemon, "build", "-", stdin="FROM no-such-image:1\n", says="no-such-image")
    assert daemon.docker("ps", "-aq").stdout == ""


def raw(daemon: Daemon, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(daemon.socket))
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer


def post(path: str, body: bytes, content_type: str = "application/json") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (post("/v1.50/containers/create", b"{not json"), 400),
        (post("/v1.50/containers/create", b"[]"), 400),
        (post("/v1.50/containers/create", b'{"Image": 3}'), 400),
        (post("/v1.50/containers/create", b'{"Image": "busybox", "Cmd": {"a": 1}}'), 400),
        (post("/v1.50/containers/create", b""), 400),
        (post("/v1.50/containers/create", b'{"Image":"busybox","HostConfig":{"Memory":"lots"}}'), 400),
        (post("/v1.50/networks/create", b'{"Name":"x","IPAM":{"Config":[{"Subnet":"300.0.0.0/8"}]}}'), 400),
        (post("/v1.50/volumes/create", b'{"Name":"../../etc"}'), 400),
        (post("/v1.50/images/load", b"this is no tar", "application/x-tar"), 200),  # docker: told in the stream
        (post("/v9.99/containers/create", b"{}"), 400),
        (post("/v1.1/containers/create", b"{}"), 400),
        (b"GET /v1.50/containers/json?filters=%7Bbad HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", 400),
        (b"GET /no/such/page HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", 404),
        (b"GET /v1.50/swarm HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", 503),
    ],
)
def test_bad_requests(daemon: Daemon, request_bytes: bytes, status: int) -> None:
    answer = raw(daemon, request_bytes)
    assert answer.split()[1] == str(status).encode(), answer
    body = answer.split(b"\r\n\r\n", 1)[1]
    assert b"message" in body
    assert daemon.answers()
    assert daemon.docker("ps", "-aq").stdout == ""


def layer_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


HOSTILE = {
    "dot-dot": layer_of((member("../../../../corten-escaped"), b"x")),
    "absolute": layer_of((member("/corten-escaped"), b"x")),
    "through-symlink": layer_of((member("link", tarfile.SYMTYPE, "/"), b""), (member("link/corten-escaped"), b"x")),
    "hard-link-out": layer_of((member("passwd", tarfile.LNKTYPE, "../../../../../../etc/passwd"), b"")),
    "hard-link-through-symlink": layer_of(
        (member("etc", tarfile.SYMTYPE, "/etc"), b""), (member("stolen", tarfile.LNKTYPE, "etc/shadow"), b"")
    ),
    "whiteout-out": layer_of((member("../.wh.etc"), b"")),
    "huge-name": layer_of((member("n" * 5000), b"x")),
}


@pytest.mark.parametrize("case", sorted(HOSTILE))
def test_hostile_archives(daemon: Daemon, case: str) -> None:
    """Nothing outside the new root is touched, whether the archive is refused or its paths are taken as within it."""
    daemon.docker("import", "-", "hostile", stdin=HOSTILE[case], check=False)
    assert not Path("/corten-escaped").exists()
    assert not list(daemon.data_root.glob("corten-escaped"))
    if daemon.docker("images", "-q", "hostile").stdout:
        content = daemon.docker("create", "hostile", "x").stdout.strip()
        exported = daemon.docker("export", content)
        assert "root:" not in exported.stdout
        daemon.docker("rm", content)
        daemon.docker("rmi", "hostile")
    assert daemon.answers()


def test_truncated_and_tampered_archives(daemon: Daemon, busybox_archive: str) -> None:
    images = daemon.docker("images", "-aq").stdout
    whole = Path(busybox_archive).read_bytes()
    refused(daemon, "load", stdin=whole[: len(whole) // 2], says="")
    position = whole.find(b"BusyBox v")  # in the middle of the layer
    assert position > 0
    tampered = whole[:position] + b"PwnedBox" + whole[position + 8 :]
    daemon.docker("rmi", "-f", "busybox")
    try:
        refused(daemon, "load", stdin=tampered, says="")
        assert daemon.docker("images", "-q", "busybox").stdout == ""
    finally:
        daemon.docker("load", "-i", busybox_archive)
    assert daemon.docker("images", "-aq").stdout == images


def test_registry_down_and_unknown(daemon: Daemon, registry: Registry) -> None:
    refused(daemon, "pull", f"127.0.0.1:{free_port()}/x", says="connection refused")
    refused(daemon, "pull", f"{registry.address}/no/such", says="not found")
    daemon.docker("tag", "busybox", f"127.0.0.1:{free_port()}/y")
    name = daemon.docker("images", "--format", "{{.Repository}}", "127.0.0.1:*/y").stdout.strip()
    refused(daemon, "push", name, says="connection refused")
    daemon.docker("rmi", name)


def test_a_tampered_blob_is_refused(daemon: Daemon, registry: Registry) -> None:
    name = f"{registry.address}/tampered"
    daemon.docker("build", "-t", name, "-", stdin="FROM busybox\nRUN echo original > /file\n")
    daemon.docker("push", name)
    manifest = json.loads(
        daemon.run("curl", "-s", "-H", "Accept: application/vnd.oci.image.manifest.v1+json, "
                   "application/vnd.docker.distribution.manifest.v2+json", f"http://{registry.address}/v2/tampered/manifests/latest").stdout
    )  # fmt: skip
    digest = manifest["layers"][-1]["digest"].split(":")[1]
    blobs = [
        path
        for path in registry.root.rglob("*")
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest
    ]
    assert blobs
    for blob in blobs:
        data = bytearray(blob.read_bytes())
        data[len(data) // 2] ^= 1
        blob.write_bytes(data)
    daemon.docker("rmi", "-f", name)
    daemon.docker("image", "prune", "-f")
    daemon.docker("builder", "prune", "-f", check=False)
    result = daemon.docker("pull", name, check=False)
    if result.returncode == 0:  # the true bytes were still here: then they are what runs
        assert daemon.docker("run", "--rm", name, "cat", "/file").stdout == "original\n"
    else:
        assert daemon.docker("images", "-q", name).stdout == ""
