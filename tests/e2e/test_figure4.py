"""Figure 4: images flow from a public and a private registry to three hosts, from a laptop to QA to production.

public.example ──base──▶ dev ──app──▶ private.example ──tag──▶ qa (by itself) ──digest──▶ production
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rig.internet import Host, Internet, Machine, eventually, run

PASSWORDS = {"dev": "dev-secret", "qa": "qa-secret", "production": "production-secret"}
TOKEN = "only-registries-know-this"
APP = "private.example/team/app"

TLS = """
addr = "0.0.0.0:443"
[tls]
certificate = "{certificate}"
key = "{key}"
"""
PRIVATE = """
[auth]
htpasswd = "{htpasswd}"
[[access]]
repositories = ["**"]
users = ["dev"]
actions = ["pull", "push"]
[[access]]
repositories = ["**"]
users = ["qa", "production"]
actions = ["pull"]
[[webhook]]
url = "http://qa.example:2380/corten/watch/notify"
headers = {{ Authorization = "Bearer {token}" }}
backoff = 0.2
"""
DOCKERFILE = """
FROM public.example/base/busybox:1
RUN mkdir /www && echo release {release} > /www/index.html
HEALTHCHECK --interval=500ms --timeout=3s --retries=2 CMD {check}
STOPSIGNAL SIGKILL
CMD ["httpd", "-f", "-p", "80", "-h", "/www"]
"""


@dataclass
class Figure:
    """All that is in the picture."""

    dev: Host
    qa: Host
    production: Host
    outside: Machine

    def release(self, number: int, *, check: str = "wget -q -O- http://127.0.0.1/") -> str:
        """Build and push the next release, on the laptop; its image id."""
        name = f"{APP}:qa"
        self.dev.docker("build", "-q", "-t", name, "-", stdin=DOCKERFILE.format(release=number, check=check))
        self.dev.corten("push", name)
        return image_id(self.dev, name)

    def page(self, host: Host) -> str:
        return self.outside.curl(f"http://{host.machine.name}.example:8080/")


@pytest.fixture
def figure() -> Iterator[Figure]:
    with contextlib.ExitStack() as stack:
        internet = Internet()
        stack.callback(internet.close)
        names = ("public", "private", "dev", "qa", "production")
        machines = {name: internet.machine(name, number) for number, name in enumerate(names, 11)}
        for machine in machines.values():
            machine.prepare("public.example", "private.example")
        for name, more in (("public", ""), ("private", PRIVATE)):
            certificate, key = internet.certificate(f"{name}.example")
            text = (TLS + more).format(certificate=certificate, key=key, htpasswd=htpasswd(internet.root), token=TOKEN)
            machines[name].registry(text)
        (internet.root / "token").write_text(f"{TOKEN}\n")
        hosts = {}
        for number, name in enumerate(("dev", "qa", "production"), 61):
            host = hosts[name] = Host(number, machines[name])
            stack.callback(host.remove)
            # Nothing is found by polling in this test: QA is told.
            host.flags = ("--registry-config", str(host.config / "config.json"), "--watch-interval", "1h")
            if name == "qa":
                host.flags += ("--watch-listen", "0.0.0.0:2380", "--watch-token-file", str(internet.root / "token"))
            host.start()
        yield Figure(hosts["dev"], hosts["qa"], hosts["production"], machines["public"])


def htpasswd(folder: Path) -> Path:
    path = folder / "htpasswd"
    if not path.exists():
        command = [sys.executable, "-m", "corten.registry", "htpasswd", "--password-stdin"]
        path.write_text("".join(run(*command, user, stdin=f"{word}\n") for user, word in PASSWORDS.items()))
    return path


def log_in(host: Host) -> None:
    user = host.machine.name
    found = host.docker("login", "-u", user, "--password-stdin", "private.example", stdin=PASSWORDS[user])
    assert "Login Succeeded" in found.stdout


def image_id(host: Host, name: str) -> str:
    return host.docker("image", "inspect", "-f", "{{.Id}}", name).stdout.strip()


def container(host: Host, template: str) -> str:
    return host.docker("inspect", "-f", template, "app", check=False).stdout.strip()


def watch_events(host: Host) -> list[dict[str, Any]]:
    """What the host's journal tells of following."""
    lines = (host.data_root / "events.jsonl").read_text().splitlines()
    return [event for line in lines if (event := json.loads(line))["Action"].startswith("watch: ")]


def told_by_docker(host: Host) -> str:
    """The real client's view of the same; it asks until the next second, as its clock has no smaller unit here."""
    return host.docker("events", "--since", "10m", "--until", "-1s", "--filter", "event=watch").stdout


def manifest(host: Host, digest: str) -> dict[str, Any]:
    """The manifest as it lies in the host's store: its bytes have that digest, or the store would not have them."""
    found: dict[str, Any] = json.loads((host.data_root / "content/blobs/sha256" / digest[7:]).read_bytes())
    return found


def test_from_laptop_to_production(figure: Figure) -> None:
    dev, qa, production = figure.dev, figure.qa, figure.production
    make_the_base(dev)
    first = release_the_first(figure)
    run_it_in_qa(figure, first)
    second, digest = qa_follows(figure)
    promote(figure, second, digest)
    bad = an_unhealthy_release_is_rolled_back(figure, second, digest)
    the_next_release_arrives(figure, bad)
    assert container(production, "{{.Image}}") == second, "production has what it was given, and nothing else"
    assert [event["Action"] for event in watch_events(production)] == []
    assert qa.docker("ps", "-aq").stdout.count("\n") == 1


def make_the_base(dev: Host) -> None:
    """A base image comes to the public registry, and is nowhere else then."""
    base = "public.example/base/busybox:1"
    dev.corten("image", "bootstrap", "busybox")
    dev.docker("tag", "busybox", base)
    dev.docker("push", base)
    dev.docker("rmi", "busybox", base)
    assert dev.docker("images", "-q").stdout == ""


def release_the_first(figure: Figure) -> str:
    """The private registry lets nobody in who has not logged in, and QA may not push."""
    dev, qa = figure.dev, figure.qa
    dev.docker("build", "-q", "-t", f"{APP}:refused", "-", stdin=DOCKERFILE.format(release=0, check="true"))
    refused = dev.docker("push", f"{APP}:refused", check=False)
    assert refused.returncode != 0, refused.stdout
    for host in (dev, qa, figure.production):
        log_in(host)
    image = figure.release(1)
    qa.docker("pull", "-q", f"{APP}:qa")
    qa.docker("tag", f"{APP}:qa", f"{APP}:from-qa")
    denied = qa.docker("push", f"{APP}:from-qa", check=False)
    assert denied.returncode != 0 and "denied" in denied.stderr, denied.stderr
    qa.docker("rmi", f"{APP}:from-qa")
    return image


def run_it_in_qa(figure: Figure, image: str) -> None:
    qa = figure.qa
    qa.docker(
        "run", "-d", "--name", "app", "--restart", "always", "-p", "8080:80", "-e", "STAGE=qa", "-v", "state:/state",
        "--label", "com.corten.watch=true", f"{APP}:qa",
    )  # fmt: skip
    qa.docker("exec", "app", "sh", "-c", "echo kept > /state/kept")
    eventually(lambda: figure.page(qa) == "release 1\n", "the first release answers in QA")
    assert container(qa, "{{.Image}}") == image


def qa_follows(figure: Figure) -> tuple[str, str]:
    """A push is all that is done; the container in QA is another then, and yet the same."""
    qa = figure.qa
    before = container(qa, "{{.Id}}")
    second = figure.release(2)
    eventually(lambda: container(qa, "{{.Image}}") == second, "QA follows")
    eventually(lambda: figure.page(qa) == "release 2\n", "the second release answers in QA")
    eventually(lambda: watch_events(qa), "the update is told")
    [event] = watch_events(qa)
    assert event["Action"] == "watch: update" and event["Actor"]["Attributes"]["replaced"] == before
    assert container(qa, "{{.HostConfig.RestartPolicy.Name}} {{.Name}}") == "always /app"
    assert "STAGE=qa" in container(qa, "{{.Config.Env}}")
    assert qa.docker("exec", "app", "cat", "/state/kept").stdout == "kept\n"
    digest = str(event["Actor"]["Attributes"]["digest"])
    assert "watch: update" in told_by_docker(qa)
    listed = qa.corten("watch", "--no-trunc").stdout
    assert digest in listed and "updated" in listed
    return second, digest


def promote(figure: Figure, image: str, digest: str) -> None:
    """What QA has seen, and not a byte else, goes to production: by its digest."""
    qa, production = figure.qa, figure.production
    exact = f"{APP}@{digest}"
    assert exact in qa.docker("image", "inspect", "-f", "{{.RepoDigests}}", f"{APP}:qa").stdout
    assert f"Digest: {digest}" in production.docker("pull", exact).stdout
    production.docker("run", "-d", "--name", "app", "-p", "8080:80", "--label", "com.corten.watch=true", exact)
    eventually(lambda: figure.page(production) == "release 2\n", "the promoted release answers in production")
    hosts = (figure.dev, qa, production)
    assert {image_id(host, exact) for host in hosts} == {image}
    layers = {host.docker("image", "inspect", "-f", "{{json .RootFS.Layers}}", exact).stdout for host in hosts}
    assert len(layers) == 1, layers
    assert manifest(qa, digest) == manifest(production, digest)
    assert manifest(production, digest)["config"]["digest"] == image
    assert "pinned to a digest" in production.corten("watch", "now", "app", "--no-trunc", check=False).stdout


def an_unhealthy_release_is_rolled_back(figure: Figure, image: str, digest: str) -> str:
    qa = figure.qa
    before = container(qa, "{{.Id}}")
    figure.release(3, check="echo it is sick; false")
    eventually(lambda: len(watch_events(qa)) == 2, "the release is rolled back")
    event = watch_events(qa)[-1]
    attributes = event["Actor"]["Attributes"]
    assert event["Action"] == "watch: rollback" and event["Actor"]["ID"] == before
    assert "unhealthy: it is sick" in attributes["reason"]
    assert "watch: rollback" in told_by_docker(qa)
    eventually(lambda: figure.page(qa) == "release 2\n", "the second release answers again")
    assert container(qa, "{{.Id}} {{.Image}} {{.HostConfig.RestartPolicy.Name}}") == f"{before} {image} always"
    assert qa.docker("ps", "-aq").stdout.count("\n") == 1
    looked = qa.corten("watch", "now", "--format", "json", "--no-trunc", check=False)
    row = json.loads(looked.stdout)
    assert looked.returncode == 1 and row["Bad"] == attributes["digest"] != row["Digest"] == digest
    assert len(watch_events(qa)) == 2, "what has failed is not tried again"
    return str(attributes["digest"])


def the_next_release_arrives(figure: Figure, bad: str) -> None:
    qa = figure.qa
    fourth = figure.release(4)
    eventually(lambda: container(qa, "{{.Image}}") == fourth, "QA follows again")
    eventually(lambda: figure.page(qa) == "release 4\n", "the fourth release answers in QA")
    eventually(lambda: len(watch_events(qa)) == 3, "the update is told")
    assert bad not in qa.corten("watch", "--no-trunc").stdout


def test_nobody_but_the_registry_may_ring(figure: Figure) -> None:
    """The webhooks' address wants the token, and is no door to the API."""
    url = "http://qa.example:2380"
    ask = ["curl", "-s", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}"]

    def answer(*words: str) -> str:
        return subprocess.run(figure.outside.command(*ask, *words), capture_output=True, text=True, check=False).stdout

    path = f"{url}/corten/watch/notify"
    assert answer("-d", '{"events":[]}', path) == "401"
    assert answer("-H", "Authorization: Bearer wrong", "-d", '{"events":[]}', path) == "401"
    assert answer("-H", f"Authorization: Bearer {TOKEN}", "-d", '{"events":[]}', path) == "200"
    assert answer("-H", f"Authorization: Bearer {TOKEN}", "-d", "nonsense", path) == "400"
    assert answer("-H", f"Authorization: Bearer {TOKEN}", f"{url}/containers/json") == "404"
