"""Logging in to a registry of ours with TLS: passwords, tokens, permissions, limits; docker's client and corten's."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
import pytest

from corten.registry.passwords import hashed
from rig.daemon import Daemon
from rig.registry import Registry

PASSWORDS = {"alice": "a:secret with spaces", "bob": "böb"}
DOCKERFILE = "FROM busybox\nRUN echo {word} > /proof\nCMD cat /proof\n"
CONFIG = """
[auth]
htpasswd = "{htpasswd}"
anonymous_pull = false
token = {token}
[[access]]
repositories = ["team/**"]
users = ["alice"]
actions = ["pull", "push", "delete"]
[[access]]
repositories = ["team/shared"]
users = ["bob"]
actions = ["pull"]
[[access]]
repositories = ["public/**"]
users = ["*", "anonymous"]
actions = ["pull"]
[[access]]
repositories = ["public/**"]
users = ["alice"]
actions = ["push"]
"""


@pytest.fixture(scope="module", params=["basic", "token"])
def private(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    folder = tmp_path_factory.mktemp("private")
    (folder / "htpasswd").write_text("".join(f"{u}:{hashed(p, cost=5)}\n" for u, p in PASSWORDS.items()))
    text = CONFIG.format(htpasswd=folder / "htpasswd", token=str(request.param == "token").lower())
    (folder / "config.toml").write_text(text)
    registry = Registry("--config", str(folder / "config.toml"), tls=True)
    registry.start()
    yield registry
    registry.remove()


@pytest.fixture(autouse=True)
def nobody_is_logged_in(daemon: Daemon) -> None:
    (daemon.config / "config.json").unlink(missing_ok=True)


def log_in(daemon: Daemon, client: str, registry: Registry, user: str) -> None:
    run = getattr(daemon, client)
    told = run("login", "-u", user, "--password-stdin", registry.address, stdin=PASSWORDS[user]).stdout
    assert "Login Succeeded" in told


def build(daemon: Daemon, name: str) -> None:
    daemon.docker("build", "-q", "-t", name, "-", stdin=DOCKERFILE.format(word=name.rpartition("/")[2]))


@pytest.mark.parametrize("client", ["docker", "corten"])
def test_login_push_pull_logout(daemon: Daemon, private: Registry, client: str) -> None:
    run = getattr(daemon, client)
    name = f"{private.address}/team/{client}"
    build(daemon, name)
    refused = run("push", name, check=False)
    assert refused.returncode == 1
    assert "no basic auth credentials" in refused.stderr or "access to the resource is denied" in refused.stderr
    wrong = run("login", "-u", "alice", "--password-stdin", private.address, stdin="wrong", check=False)
    assert wrong.returncode == 1 and "unauthorized" in wrong.stderr
    log_in(daemon, client, private, "alice")
    assert list(json.loads((daemon.config / "config.json").read_text())["auths"]) == [private.address]
    run("push", name)
    run("rmi", name)
    assert run("run", "--rm", name).stdout == f"{client}\n"
    run("rmi", name)
    assert "Removing login credentials" in run("logout", private.address).stdout
    again = run("pull", name, check=False)
    assert again.returncode == 1, again.stdout
    assert "pull access denied" in again.stderr or "no basic auth credentials" in again.stderr


@pytest.mark.parametrize("client", ["docker", "corten"])
def test_permissions_of_each_repository(daemon: Daemon, private: Registry, client: str) -> None:
    run = getattr(daemon, client)
    names = {word: f"{private.address}/{word}" for word in (f"team/mine-{client}", "team/shared", f"public/{client}")}
    for name in names.values():
        build(daemon, name)
    log_in(daemon, client, private, "alice")
    for name in names.values():
        run("push", name)
    log_in(daemon, client, private, "bob")
    refused = run("push", names["team/shared"], check=False)
    assert refused.returncode == 1 and "denied" in refused.stderr
    run("rmi", *names.values())
    run("pull", names["team/shared"])
    denied = run("pull", names[f"team/mine-{client}"], check=False)
    assert denied.returncode == 1 and "denied" in denied.stderr
    found = run("search", "--format", "{{.Name}}", f"{private.address}/{client}").stdout.splitlines()
    assert [line for line in found if line.endswith(f"public/{client}")]
    assert not [line for line in found if "mine" in line], "a search shows what one may pull"
    run("logout", private.address)
    run("pull", names[f"public/{client}"])  # anybody may
    run("rmi", names["team/shared"], names[f"public/{client}"])


def test_docker_py_logs_in(daemon: Daemon, private: Registry, client: docker.DockerClient) -> None:
    name = f"{private.address}/team/python"
    build(daemon, name)
    who = {"username": "alice", "password": PASSWORDS["alice"]}
    assert client.login(**who, registry=private.address)["Status"] == "Login Succeeded"
    with pytest.raises(docker.errors.APIError):
        client.login("alice", "wrong", registry=private.address, reauth=True)
    told = [json.loads(line) for line in client.images.push(name, auth_config=who).splitlines()]
    assert not [line for line in told if "error" in line]
    other = {"username": "bob", "password": PASSWORDS["bob"]}
    with pytest.raises(docker.errors.APIError, match="denied"):
        client.images.pull(name, tag="latest", auth_config=other)
    client.images.remove(name)


@contextlib.contextmanager
def limited() -> Iterator[str]:
    """A registry that has had enough of us for an hour."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/v2/":
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            message = "You have reached your pull rate limit."
            body = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": message}]}).encode()
            self.send_response(429)
            self.send_header("Retry-After", "3600")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """The test's output is no log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("client", ["docker", "corten"])
def test_rate_limit_is_told_plainly(daemon: Daemon, client: str) -> None:
    with limited() as address:
        told = getattr(daemon, client)("pull", f"{address}/library/busybox", check=False, timeout=30)
    assert told.returncode == 1
    assert "toomanyrequests: You have reached your pull rate limit." in told.stderr


def test_certificate_that_is_not_trusted_is_told(daemon: Daemon, private: Registry, tmp_path: Path) -> None:
    """By any other name than loopback's, TLS is verified."""
    port = private.address.rpartition(":")[2]
    refused = daemon.docker("pull", f"corten-test.localhost:{port}/public/x", check=False)
    assert refused.returncode == 1
    assert "certificate" in refused.stderr or "no such host" in refused.stderr
