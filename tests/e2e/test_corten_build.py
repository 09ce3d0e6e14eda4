"""What ``corten build`` can beyond Docker's classic builder: see docs/builds.md."""

from __future__ import annotations

import json
import os
import pty
import shutil
import socket
import subprocess
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rig.daemon import BIN, Daemon
from rig.registry import Registry


def write(root: Path, dockerfile: str, files: dict[str, str] | None = None) -> Path:
    root.mkdir(exist_ok=True)
    for name, content in {"Dockerfile": dockerfile, **(files or {})}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def build(daemon: Daemon, *words: str, status: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    made = subprocess.run(
        [str(BIN / "corten"), "build", *words],
        env=daemon.environment | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert made.returncode == status, made.stderr
    return made


def test_progress_on_a_pipe(daemon: Daemon, tmp_path: Path) -> None:
    root = write(tmp_path, "FROM busybox AS one\nRUN echo first\nFROM one\nRUN echo second >&2\nCMD sh\n")
    shown = build(daemon, "-t", "piped", "--no-cache", str(root)).stderr
    assert "[one 2/2] RUN echo first\n" in shown and "[stage-1 1/1] RUN echo second >&2\n" in shown
    assert "#3 DONE " in shown and " second\n" in shown and "naming to piped done" in shown
    assert "1 warning found" in shown and "- JSONArgsRecommended: " in shown
    assert "CACHED" in build(daemon, str(root)).stderr
    daemon.docker("rmi", "-f", "piped")


def test_progress_on_a_terminal(daemon: Daemon, tmp_path: Path) -> None:
    root = write(tmp_path, "FROM busybox\nRUN echo shown; exit 3\n")
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [str(BIN / "corten"), "build", "--no-cache", str(root)],
        stderr=follower,
        stdout=follower,
        env=daemon.environment,
    )
    os.close(follower)
    said = b""
    while True:
        try:
            said += os.read(leader, 1 << 16)
        except OSError:
            break
    os.close(leader)
    assert process.wait(20) == 3
    text = said.decode()
    assert "[+] Building" in text and " => ERROR [2/2] RUN echo shown; exit 3" in text
    assert "   2 | >>> RUN echo shown; exit 3" in text and "returned a non-zero code: 3" in text


def test_check_and_explain(daemon: Daemon, tmp_path: Path) -> None:
    root = write(tmp_path, "FROM busybox\nENV PASSWORD=x\nRUN cat /none/such\ncopy f /\n", {"f": "1"})
    checked = build(daemon, "--check", str(root)).stdout
    assert "2 warnings have been found!" in checked
    assert "WARNING: SecretsUsedInArgOrEnv" in checked and "   4 | >>> copy f /" in checked
    strict = build(daemon, "--check", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=error=true", str(root), status=1)
    assert "SecretsUsedInArgOrEnv" in strict.stderr
    write(tmp_path, "FROM busybox\nCOPY f /f\nRUN echo explained\n", {"f": "1"})
    assert "Cache miss: this step has not been built before" in build(daemon, "--explain", str(root)).stderr
    assert "Cache hit: the same step on the same image" in build(daemon, "--explain", str(root)).stderr
    (root / "f").write_text("2")
    explained = build(daemon, "--explain", str(root)).stderr
    assert "Cache miss: changed: " in explained and "parent layers" in explained


def test_secrets_leave_nothing(daemon: Daemon, tmp_path: Path) -> None:
    check = "test $(wc -c < /run/secrets/key) = 11"
    dockerfile = f"FROM busybox\nRUN --mount=type=secret,id=key,required=true {check}\n"
    root = write(tmp_path, dockerfile)
    build(daemon, "-t", "secretive", "--secret", "id=key", str(root), key="sesame-open")
    daemon.docker("save", "-o", f"{tmp_path}/saved.tar", "secretive")
    assert b"sesame-open" not in (tmp_path / "saved.tar").read_bytes()
    for path in daemon.data_root.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 20:
            assert b"sesame-open" not in path.read_bytes(), path
    missing = build(daemon, "--no-cache", str(root), status=1).stderr
    assert "secret key: not found" in missing
    large = tmp_path / "large"
    large.write_bytes(b"x" * 600_000)
    assert "larger than" in build(daemon, "--secret", f"id=key,src={large}", str(root), status=1).stderr
    daemon.docker("rmi", "-f", "secretive")


def test_ssh(daemon: Daemon, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(f"{tmp_path}/agent")
        agent.listen()
        answering = threading.Thread(target=lambda: agent.accept()[0].sendall(b"agent says hello\n"), daemon=True)
        answering.start()
        probe = "head -n 1 < /dev/null; test -S $SSH_AUTH_SOCK && echo $SSH_AUTH_SOCK"
        root = write(tmp_path / "c", f"FROM busybox\nRUN --mount=type=ssh,required=true {probe}\n")
        shown = build(daemon, "--no-cache", "--ssh", "default", str(root), SSH_AUTH_SOCK=f"{tmp_path}/agent").stderr
        assert "/run/buildkit/ssh_agent.0" in shown
    assert "unset ssh forward key default" in build(daemon, "--no-cache", str(root), status=1).stderr


def test_several_platforms(daemon: Daemon, tmp_path: Path) -> None:
    root = write(tmp_path / "c", "FROM scratch\nARG TARGETARCH\nCOPY a /$TARGETARCH\n", {"a": "A\n"})
    both = ("--platform", "linux/amd64,linux/arm64")
    build(daemon, *both, "-t", "several:1", "-o", f"type=oci,dest={tmp_path}/both.tar", str(root))
    daemon.docker("rmi", "several:1")
    daemon.docker("load", "-i", f"{tmp_path}/both.tar")
    for architecture in ("amd64", "arm64"):
        shown = daemon.docker(
            "image", "inspect", "--platform", f"linux/{architecture}", "--format", "{{.Architecture}}", "several:1"
        )
        assert shown.stdout.strip() == architecture
    assert "needs a name" in build(daemon, *both, "-o", "type=oci,dest=x", str(root), status=1).stderr
    assert "one platform at a time" in build(daemon, *both, "-o", str(tmp_path / "o"), str(root), status=1).stderr
    assert "one platform at a time" in build(daemon, *both, "--squash", str(root), status=1).stderr
    daemon.docker("rmi", "-f", "several:1")


def test_outputs(daemon: Daemon, tmp_path: Path) -> None:
    root = write(tmp_path / "c", "FROM scratch\nCOPY a /dir/a\nCOPY --chmod=4755 b /b\n", {"a": "A\n", "b": "B\n"})
    out = tmp_path / "out"
    build(daemon, "-o", str(out), str(root))
    assert (out / "dir/a").read_text() == "A\n" and (out / "b").stat().st_mode & 0o7777 == 0o4755
    build(daemon, "--output", f"type=tar,dest={tmp_path}/o.tar", str(root))
    with tarfile.open(tmp_path / "o.tar") as archive:
        assert sorted(member.name for member in archive) == ["b", "dir", "dir/a"]
    build(daemon, "-t", "outputs:1", "-o", f"type=oci,dest={tmp_path}/oci.tar", str(root))
    with tarfile.open(tmp_path / "oci.tar") as archive:
        names = archive.getnames()
    assert "oci-layout" in names and "index.json" in names
    build(daemon, "-o", f"type=docker,name=outputs:2,dest={tmp_path}/docker.tar", str(root))
    assert "Loaded image: outputs:2" in daemon.docker("load", "-i", f"{tmp_path}/docker.tar").stdout
    build(daemon, "-t", "outputs:3", "--metadata-file", f"{tmp_path}/m.json", "--iidfile", f"{tmp_path}/id", str(root))
    assert json.loads((tmp_path / "m.json").read_text())["containerimage.digest"] == (tmp_path / "id").read_text()
    daemon.docker("rmi", "-f", "outputs:1", "outputs:2", "outputs:3")


CACHED = """\
FROM busybox
RUN cat /proc/sys/kernel/random/uuid > /id
RUN --mount=type=cache,target=/c date >> /c/log; cp /c/log /log
"""


def test_caches_travel(daemon: Daemon, own_daemon: Callable[..., Daemon], registry: Registry, tmp_path: Path) -> None:
    root, cache = write(tmp_path / "c", CACHED), tmp_path / "cache"
    reference = f"{registry.address}/builds/cache:main"
    build(
        daemon,
        "-t",
        "cached",
        "--no-cache",
        "--cache-to",
        f"type=local,dest={cache}",
        "--cache-to",
        reference,
        str(root),
    )
    wanted = daemon.docker("run", "--rm", "cached", "cat", "/id", "/log").stdout
    for source in (f"type=local,src={cache}", f"type=registry,ref={reference}"):
        other = own_daemon()
        shown = build(other, "-t", "again", "--cache-from", source, str(root)).stderr
        assert shown.count("CACHED") == 3, shown
        assert other.docker("run", "--rm", "again", "cat", "/id", "/log").stdout == wanted
        # The cache mount came along: the next date is added to the first.
        build(other, "-t", "again", "--no-cache", str(root))
        assert len(other.docker("run", "--rm", "again", "cat", "/log").stdout.splitlines()) == 2
    shutil.copy(root / "Dockerfile", cache / "corten-cache.json")
    build(daemon, "--cache-from", f"type=local,src={cache}", "--cache-from", "type=local,src=/none/such", str(root))
    daemon.docker("rmi", "-f", "cached")


def test_no_cache_filter_and_debug(daemon: Daemon, tmp_path: Path) -> None:
    dockerfile = "FROM busybox AS one\nRUN echo 1\nFROM one AS two\nRUN echo 2\n"
    root = write(tmp_path, dockerfile)
    build(daemon, str(root))
    shown = build(daemon, "--no-cache-filter", "two", str(root)).stderr
    assert shown.count("CACHED") == 2 and " 2\n" in shown
    write(tmp_path, "FROM busybox\nENV A=b\nRUN echo left > /behind; exit 9\n")
    kept = build(daemon, "--debug", str(root), status=9).stderr
    after = kept.partition("after it ")[2].split(":")[1][:64]
    assert daemon.docker("run", "--rm", after, "cat", "/behind").stdout == "left\n"
    daemon.docker("rmi", "-f", after)


NAMELESS = b"--B\r\n\r\nno name\r\n--B--\r\n"
ODD = b'--B\r\nContent-Disposition: form-data; name="odd"\r\n\r\nx\r\n--B--\r\n'


@pytest.mark.parametrize("body", [b"--x\r\n", NAMELESS, b"", ODD])
def test_bodies_that_are_no_parts(daemon: Daemon, body: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(daemon.socket))
        head = "POST /v1.50/build HTTP/1.1\r\nHost: d\r\nConnection: close\r\n"
        head += f"Content-Type: multipart/form-data; boundary=B\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        answer = b""
        while data := connection.recv(65536):
            answer += data
    assert b" 400 " in answer.split(b"\r\n")[0] or b" 500 " in answer.split(b"\r\n")[0] or b'"error"' in answer
    assert daemon.answers()
