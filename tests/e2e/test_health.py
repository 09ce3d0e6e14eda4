"""Health checks: Docker's, the native probes that start no process, and what is done about an unhealthy container."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import docker
import pytest

from rig.daemon import Daemon

MILLISECOND = 1_000_000
QUICK = {"Interval": 60 * MILLISECOND, "Timeout": 2000 * MILLISECOND, "Retries": 2}
SERVER = "mkdir /www; echo hello > /www/ready; httpd -p 127.0.0.1:8080 -h /www; touch /run-ready; exec sleep 300"


def start(client: docker.DockerClient, test: list[str], script: str = SERVER, **options: Any) -> Any:
    made = client.api.create_container(
        "busybox", ["sh", "-c", script], healthcheck={**QUICK, "Test": test}, host_config={}, **options
    )
    client.api.start(made["Id"])
    return client.containers.get(made["Id"])


def wait_for(container: Any, condition: Callable[[dict[str, Any]], bool], seconds: float = 20) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while True:
        container.reload()
        state: dict[str, Any] = container.attrs["State"]
        if condition(state):
            return state
        assert time.monotonic() < deadline, state
        time.sleep(0.03)


def becomes(container: Any, status: str) -> dict[str, Any]:
    return wait_for(container, lambda state: state["Health"]["Status"] == status)


WELL = {
    "command": ["CMD", "true"],
    "shell": ["CMD-SHELL", "test -e /run-ready && echo so it is"],
    "http": ["HTTP", "http://:8080/ready"],
    "http-with-host": ["HTTP", "http://127.0.0.1:8080/ready?x=1"],
    "tcp": ["TCP", ":8080"],
    "tcp-with-host": ["TCP", "127.0.0.1:8080"],
    "file": ["FILE", "/run-ready"],
}
ILL = {
    "command": (["CMD", "false"], ""),
    "program-not-there": (["CMD", "no-such-program"], "not found"),
    "http-not-found": (["HTTP", "http://:8080/missing"], "404"),
    "http-nobody": (["HTTP", "http://:8081/"], "refused"),
    "http-not-spoken": (["HTTP", "http://:9/"], "refused"),
    "https-to-http": (["HTTP", "https://:8080/"], ""),
    "tcp-nobody": (["TCP", ":8081"], "refused"),
    "file-missing": (["FILE", "/no/such"], "/no/such"),
    "file-through-a-link-to-the-host": (["FILE", "/up/proc/1/root/etc/hostname-of-the-host"], ""),
}


@pytest.mark.parametrize("name", sorted(WELL))
def test_healthy(client: docker.DockerClient, name: str) -> None:
    state = becomes(start(client, WELL[name]), "healthy")
    last = state["Health"]["Log"][-1]
    assert last["ExitCode"] == 0 and state["Health"]["FailingStreak"] == 0


@pytest.mark.parametrize("name", sorted(ILL))
def test_unhealthy(client: docker.DockerClient, name: str) -> None:
    test, words = ILL[name]
    state = becomes(start(client, test), "unhealthy")
    assert state["Health"]["FailingStreak"] >= 2
    assert words in state["Health"]["Log"][-1]["Output"].lower()


@pytest.mark.parametrize(
    "test",
    [["HTTP"], ["HTTP", "ftp://x/"], ["HTTP", "http://:99999/"], ["TCP", "80"], ["TCP", ":0"], ["FILE", "x"], ["WHAT"]],
    ids=str,
)
def test_nonsense_is_refused(client: docker.DockerClient, test: list[str]) -> None:
    with pytest.raises(docker.errors.APIError) as refused:
        start(client, test)
    assert refused.value.status_code == 400


def test_a_native_probe_starts_no_process(client: docker.DockerClient) -> None:
    """The number of the next process inside does not grow while the probe goes on."""
    container = start(client, WELL["file"], script="touch /run-ready; exec sleep 300")
    becomes(container, "healthy")

    def next_pid() -> int:
        return int(container.exec_run(["sh", "-c", "echo $$"]).output)

    first, last = next_pid(), container.attrs["State"]["Health"]["Log"][-1]["Start"]
    wait_for(container, lambda state: state["Health"]["Log"][0]["Start"] > last)
    assert next_pid() - first == 1, "only our own exec in between"


@pytest.mark.parametrize("kind", ["http", "tcp", "file"])
def test_a_native_probe_is_no_exec(client: docker.DockerClient, kind: str) -> None:
    """(busybox's httpd forks by itself, so that its numbers tell nothing.)"""
    begun = time.time()
    container = start(client, WELL[kind])
    becomes(container, "healthy")
    events = client.events(decode=True, since=begun - 1, until=time.time() + 1, filters={"container": container.id})
    assert not [event for event in events if event["Action"].startswith("exec")]


def test_a_probe_that_hangs_is_ended(client: docker.DockerClient) -> None:
    container = client.containers.run(
        "busybox", ["sleep", "300"], detach=True,
        healthcheck={"Test": ["CMD", "sleep", "299"], "Interval": 50 * MILLISECOND, "Timeout": 100 * MILLISECOND,
                     "Retries": 1},
    )  # fmt: skip
    state = becomes(container, "unhealthy")
    assert "exceeded timeout" in state["Health"]["Log"][-1]["Output"]
    assert state["Health"]["Log"][-1]["ExitCode"] == -1


def test_the_start_period_forgives(client: docker.DockerClient) -> None:
    healthcheck = {**QUICK, "Test": ["FILE", "/later"], "StartPeriod": 60_000 * MILLISECOND,
                   "StartInterval": 50 * MILLISECOND}  # fmt: skip
    script = ["sh", "-c", "sleep 0.5; touch /later; sleep 300"]
    container = client.containers.run("busybox", script, detach=True, healthcheck=healthcheck)
    seen = {wait_for(container, lambda state: bool(state["Health"]["Log"]))["Health"]["Status"]}
    seen.add(becomes(container, "healthy")["Health"]["Status"])
    assert "unhealthy" not in seen


@pytest.mark.parametrize("wish", ["restart", "stop", "kill"])
def test_what_is_done_when_unhealthy(client: docker.DockerClient, wish: str) -> None:
    container = start(client, ["FILE", "/no/such"], script="trap 'exit 5' TERM; sleep 300 & wait",
                      labels={"corten.health-on-failure": wish})  # fmt: skip
    container.reload()
    first = container.attrs["State"]["StartedAt"]
    if wish == "restart":
        state = wait_for(container, lambda state: state["Running"] and state["StartedAt"] != first)
        assert state["Health"]["Status"] in ("starting", "unhealthy")
    else:
        state = wait_for(container, lambda state: not state["Running"])
        assert state["ExitCode"] == (5 if wish == "stop" else 137)


def test_status_events_and_listing(client: docker.DockerClient, daemon: Daemon) -> None:
    begun = time.time()
    container = start(client, ["FILE", "/tmp/well"], script="touch /tmp/well; sleep 300")
    becomes(container, "healthy")
    container.exec_run(["rm", "/tmp/well"])
    becomes(container, "unhealthy")
    listed = daemon.docker("ps", "--filter", "health=unhealthy", "--format", "{{.Status}}").stdout
    assert "(unhealthy)" in listed
    actions = [
        event["Action"]
        for event in client.events(decode=True, since=begun - 1, until=time.time() + 1,
                                   filters={"container": container.id, "event": "health_status"})
    ]  # fmt: skip
    assert actions == ["health_status: healthy", "health_status: unhealthy"]


def test_each_run_begins_as_starting(client: docker.DockerClient) -> None:
    container = start(client, ["TCP", ":1"])
    becomes(container, "unhealthy")
    container.stop(timeout=0)
    container.reload()
    assert container.attrs["State"]["Health"]["Status"] == "unhealthy"
    container.start()
    container.reload()
    assert container.attrs["State"]["Health"]["Status"] in ("starting", "unhealthy")
    assert container.attrs["State"]["Health"]["FailingStreak"] < 2


def test_flags_of_the_command_line(daemon: Daemon) -> None:
    daemon.corten(
        "run", "-d", "--name", "probed", "--health-http", "http://:8080/ready", "--health-interval", "60ms",
        "--health-on-failure", "restart", "busybox", "sh", "-c", SERVER,
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while "(healthy)" not in daemon.corten("ps", "--format", "{{.Status}}").stdout:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    label = '{{index .Config.Labels "corten.health-on-failure"}}'
    assert daemon.corten("inspect", "-f", label, "probed").stdout.strip() == "restart"
