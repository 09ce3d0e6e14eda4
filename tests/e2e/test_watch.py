"""Containers that follow their tag: by polling, without a gap, and through a daemon that is killed at any moment."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable

import pytest

from rig.daemon import Daemon
from rig.registry import Registry

Make = Callable[..., Daemon]

# Ends at once when asked to; says which release it is.
DOCKERFILE = """
FROM busybox
ENV RELEASE={release}
{more}
CMD ["sh", "-c", "trap 'exit 0' TERM; echo release $RELEASE; while :; do sleep 0.05; done"]
"""
SICK = "HEALTHCHECK --interval=200ms --timeout=2s --retries=1 CMD false"
WELL = "HEALTHCHECK --interval=200ms --timeout=2s --retries=1 CMD true"
# How long after the beginning of a replacement the daemon ends, and how.
MOMENTS = [("kill", moment) for moment in (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.7, 0.9)]
MOMENTS += [("stop", moment) for moment in (0.1, 0.3, 0.6)]


@pytest.fixture
def quiet(own_daemon: Make) -> Daemon:
    """A daemon that looks only when it is told to."""
    return own_daemon("--watch-interval", "0", "--watch-grace", "0.3s")


def release(daemon: Daemon, name: str, number: int, more: str = "") -> str:
    daemon.docker("build", "-q", "-t", name, "-", stdin=DOCKERFILE.format(release=number, more=more))
    daemon.docker("push", "-q", name)
    return daemon.docker("image", "inspect", "-f", "{{.Id}}", name).stdout.strip()


def follow(daemon: Daemon, name: str, *flags: str, container: str = "web") -> None:
    daemon.docker("run", "-d", "--name", container, "--label", "com.corten.watch=true", *flags, name)


def look(daemon: Daemon, container: str, template: str) -> str:
    return daemon.docker("inspect", "-f", template, container, check=False).stdout.strip()


def eventually(condition: Callable[[], bool], what: str, timeout: float = 20) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_polling(own_daemon: Make, registry: Registry) -> None:
    daemon = own_daemon("--watch-interval", "300ms", "--watch-grace", "0.1s")
    name = f"{registry.address}/polled:qa"
    release(daemon, name, 1)
    follow(daemon, name)
    daemon.docker("run", "-d", "--name", "left-alone", name)
    alone = look(daemon, "left-alone", "{{.Id}}")
    second = release(daemon, name, 2)
    eventually(lambda: look(daemon, "web", "{{.Image}}") == second, "the container follows")
    assert look(daemon, "left-alone", "{{.Id}}") == alone, "who has no label is left alone"
    eventually(lambda: "release 2" in daemon.docker("logs", "web").stdout, "it is the new release that runs")


def test_nobody_notices(quiet: Daemon, registry: Registry) -> None:
    """Where two may run at once, the name always answers, and never with a container on trial."""
    name = f"{registry.address}/seamless:qa"
    release(quiet, name, 1, WELL)
    quiet.docker("network", "create", "net")
    follow(quiet, name, "--network", "net", "--network-alias", "service")
    asking = "while :; do nslookup service 127.0.0.11 | tail -n +3 | grep -c Address || echo none; sleep 0.05; done"
    quiet.docker("run", "-d", "--name", "asker", "--network", "net", "busybox", "sh", "-c", asking)
    before = look(quiet, "web", "{{.Id}}")
    release(quiet, name, 2, WELL)
    quiet.corten("watch", "now")
    assert look(quiet, "web", "{{.Id}}") != before
    answers = quiet.docker("logs", "asker").stdout.split()
    # Both answer for the moment in which one gets the alias and the other loses it.
    assert len(answers) > 5 and set(answers) <= {"1", "2"} and answers.count("2") <= 1, answers
    aliases = json.loads(look(quiet, "web", '{{json (index .NetworkSettings.Networks "net").Aliases}}'))
    assert aliases == ["service"]


def test_what_cannot_be_followed_says_so(quiet: Daemon, registry: Registry) -> None:
    name = f"{registry.address}/obstacles:qa"
    release(quiet, name, 1)
    follow(quiet, name)
    quiet.docker("run", "-d", "--name", "sidecar", "--network", "container:web", "busybox", "sleep", "100")
    follow(quiet, name, container="paused")
    quiet.docker("pause", "paused")
    follow(quiet, "busybox", "-it", container="hub")
    release(quiet, name, 2)
    assert quiet.corten("watch", "now", "web", "paused", check=False).returncode == 1
    listed = quiet.corten("watch", "--no-trunc").stdout
    assert "sidecar shares its namespaces" in listed and "the container is paused" in listed
    refused = quiet.corten("watch", "now", "sidecar", check=False)
    assert refused.returncode == 1 and "not followed" in refused.stderr
    quiet.docker("unpause", "paused")


def test_a_failure_is_remembered_and_tried_again_when_asked(quiet: Daemon, registry: Registry) -> None:
    name = f"{registry.address}/sick:qa"
    first = release(quiet, name, 1)
    follow(quiet, name, "-v", "/data")
    release(quiet, name, 2, SICK)
    for _ in range(2):
        assert "rolled back" in quiet.corten("watch", "now", check=False).stdout
    quiet.kill()
    quiet.start()
    assert "rolled back" in quiet.corten("watch", "now", check=False).stdout
    assert rollbacks(quiet) == 1
    quiet.corten("watch", "now", "--retry", check=False)
    assert rollbacks(quiet) == 2
    assert look(quiet, "web", "{{.Image}} {{.State.Status}}") == f"{first} running"
    assert len(quiet.docker("volume", "ls", "-q").stdout.split()) == 1


def rollbacks(daemon: Daemon) -> int:
    return (daemon.data_root / "events.jsonl").read_text().count('"Action": "watch: rollback"')


@pytest.mark.parametrize("order", ["start-first", "stop-first"])
def test_a_container_that_goes_when_it_ends(quiet: Daemon, registry: Registry, order: str) -> None:
    name = f"{registry.address}/rm-{order}:qa"
    release(quiet, name, 1)
    follow(quiet, name, "--rm", "--label", f"com.corten.watch.order={order}")
    second = release(quiet, name, 2)
    quiet.corten("watch", "now")
    release(quiet, name, 3, SICK)
    assert "rolled back" in quiet.corten("watch", "now", check=False).stdout
    assert look(quiet, "web", "{{.Image}} {{.HostConfig.AutoRemove}} {{.State.Status}}") == f"{second} true running"
    quiet.docker("stop", "web")
    eventually(lambda: names(quiet) == [], "it goes when it ends")


@pytest.mark.parametrize("order", ["start-first", "stop-first"])
def test_a_daemon_killed_at_any_moment(quiet: Daemon, registry: Registry, order: str) -> None:
    """Afterwards the container is there, old or new, running, under its name and alone; and then it follows."""
    name = f"{registry.address}/killed-{order}:qa"
    known = {release(quiet, name, 0)}
    label = f"com.corten.watch.order={order}"
    follow(quiet, name, "--restart", "always", "-v", "/data", "--label", label)
    quiet.docker("exec", "web", "sh", "-c", "echo kept > /data/kept")
    for number, (way, moment) in enumerate(MOMENTS, 1):
        known.add(newest := release(quiet, name, number))
        asking = subprocess.Popen(
            ["curl", "-s", "--unix-socket", str(quiet.socket), "-X", "POST", "http://d/corten/watch/check"],
            stdout=subprocess.DEVNULL,
        )
        time.sleep(moment)
        getattr(quiet, way)()
        asking.wait(20)
        quiet.start()
        eventually(lambda: names(quiet) == ["web"], f"{moment}: one container, under its name: {names(quiet)}")
        eventually(lambda: look(quiet, "web", "{{.State.Running}}") == "true", f"{moment}: it runs")
        assert look(quiet, "web", "{{.Image}}") in known
        assert look(quiet, "web", "{{.HostConfig.RestartPolicy.Name}}") == "always", f"{moment}"
        assert quiet.docker("exec", "web", "cat", "/data/kept").stdout == "kept\n", f"{moment}"
        quiet.corten("watch", "now")
        assert look(quiet, "web", "{{.Image}}") == newest, f"{moment}: it follows"
    assert len(quiet.docker("volume", "ls", "-q").stdout.split()) == 1


def names(daemon: Daemon) -> list[str]:
    return daemon.docker("ps", "-a", "--format", "{{.Names}}").stdout.split()
