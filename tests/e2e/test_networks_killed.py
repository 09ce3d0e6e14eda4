"""The daemon is killed in the middle of work on networks: addresses, rules, links and records agree afterwards."""

from __future__ import annotations

import json
import random
import re
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from rig.daemon import Daemon

ROUNDS = 14
CONTAINERS = ("one", "two", "three")


def begin(daemon: Daemon, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["docker", *arguments], env=daemon.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def links() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        subprocess.run(["ip", "-d", "-j", "link"], capture_output=True, text=True, check=True).stdout
    )
    return found


def set_of(daemon: Daemon, name: str) -> set[str]:
    command = ["nft", "list", "set", "inet", f"corten-{daemon.bridge}", name]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    elements = re.search(r"elements = \{([^}]*)\}", text)
    return set(re.findall(r'"([^"]+)"', elements.group(1))) if elements else set()


def inspect(daemon: Daemon, kind: str, names: list[str]) -> list[dict[str, Any]]:
    if not names:
        return []
    found: list[dict[str, Any]] = json.loads(daemon.docker(kind, "inspect", *names).stdout)
    return found


def bridge_of(daemon: Daemon, network: dict[str, Any]) -> str:
    return daemon.bridge if network["Name"] == "bridge" else f"br-{network['Id'][:12]}"


def check(daemon: Daemon) -> None:
    """Compare what the API says, what containers see, which links the kernel has, and what the rules name."""
    networks = inspect(daemon, "network", daemon.docker("network", "ls", "-q").stdout.split())
    networks = [network for network in networks if network["Driver"] == "bridge"]
    containers = inspect(daemon, "container", list(CONTAINERS))
    bridges = {bridge_of(daemon, network) for network in networks}
    assert set_of(daemon, "bridges") == bridges
    present = links()
    alias = f"corten:corten-{daemon.bridge}"
    assert {link["ifname"] for link in present if link.get("ifalias") == alias} == bridges
    addresses: list[str] = []
    for network in networks:
        members = {key: value["IPv4Address"] for key, value in network["Containers"].items()}
        addresses += members.values()
        told = {
            container["Id"]: f"{settings['IPAddress']}/{settings['IPPrefixLen']}"
            for container in containers
            for name, settings in container["NetworkSettings"]["Networks"].items()
            if name == network["Name"]
        }
        assert members == told, network["Name"]
        ports = [link["ifname"] for link in present if link.get("master") == bridge_of(daemon, network)]
        assert len(ports) == len(members), (network["Name"], ports)
    assert len(set(addresses)) == len(addresses), "an address twice"
    for container in containers:
        inside = daemon.docker("exec", container["Name"][1:], "ip", "-4", "-o", "addr").stdout
        told = {
            f"{settings['IPAddress']}/{settings['IPPrefixLen']}"
            for settings in container["NetworkSettings"]["Networks"].values()
        }
        assert set(re.findall(r"inet (\S+)", inside)) - {"127.0.0.1/8"} == told, container["Name"]


def settles(daemon: Daemon) -> None:
    """Links of what was withdrawn go a moment later; on a busy machine a single check takes seconds."""
    deadline = time.monotonic() + 60
    while True:
        try:
            check(daemon)
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_create_connect_disconnect_and_remove(own_daemon: Callable[..., Daemon]) -> None:
    daemon = own_daemon()
    chance = random.Random(4)
    daemon.docker("network", "create", "steady")
    for name in CONTAINERS:
        daemon.docker("run", "-d", "--name", name, "--network", "steady", "busybox", "sleep", "1000")
    settles(daemon)
    for number in range(ROUNDS):
        daemon.docker("network", "create", f"old{number}", check=False)
        daemon.docker("network", "connect", f"old{number}", "two", check=False)
        daemon.docker("network", "create", f"empty{number}", check=False)
        work = [
            begin(daemon, "network", "create", f"new{number}"),
            begin(daemon, "network", "connect", f"old{number}", "one"),
            begin(daemon, "network", "connect", f"empty{number}", "three"),
            begin(daemon, "network", "disconnect", f"old{number}", "two"),
            begin(daemon, "network", "rm", f"empty{number}"),
        ]
        time.sleep(chance.uniform(0.005, 0.12))
        daemon.kill()
        for process in work:
            process.wait(30)
        daemon.start()
        settles(daemon)
        for name in CONTAINERS:
            for network in (f"old{number}", f"empty{number}"):
                daemon.docker("network", "disconnect", network, name, check=False)
        daemon.docker("network", "prune", "-f")
    settles(daemon)
    listed = daemon.docker("network", "ls", "--format", "{{.Name}}").stdout.split()
    assert sorted(listed) == ["bridge", "host", "none", "steady"]


def led_from(daemon: Daemon, container: str) -> set[str]:
    """The host ports that lead to a container: as asked for, as told, and as the rules have it; they must agree."""
    [found] = inspect(daemon, "container", [container])
    asked = {item["HostPort"] for items in found["HostConfig"]["PortBindings"].values() for item in items}
    told = {item["HostPort"] for items in found["NetworkSettings"]["Ports"].values() for item in items or ()}
    address = found["NetworkSettings"]["IPAddress"]
    command = ["nft", "list", "map", "inet", f"corten-{daemon.bridge}", "ports4"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    ruled = set(re.findall(rf"tcp . (\d+) : {re.escape(address)} . 80\b", text))
    assert asked == told == ruled
    return told


def send(daemon: Daemon, path: str, body: dict[str, Any]) -> socket.socket:
    """A request that is on its way: the docker command line would take longer to start than the daemon to answer."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect(str(daemon.socket))
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    client.sendall(head.encode() + data)
    return client


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_ports_published_and_withdrawn(own_daemon: Callable[..., Daemon]) -> None:
    daemon = own_daemon()
    chance = random.Random(5)
    with socket.create_server(("", 0)) as one, socket.create_server(("", 0)) as other:
        ports = [str(each.getsockname()[1]) for each in (one, other)]
    daemon.docker("run", "-d", "--name", "web", "-p", f"{ports[0]}:80", "busybox", "sleep", "1000")
    outcomes = set()
    for _ in range(ROUNDS * 2):
        [old] = led_from(daemon, "web")
        new = next(port for port in ports if port != old)
        body = {
            "PublishRemove": {"80/tcp": [{"HostPort": old}]},
            "PublishAdd": {"80/tcp": [{"HostPort": new}]},
        }
        with send(daemon, "/containers/web/update", body):
            time.sleep(chance.uniform(0, 0.012))
            daemon.kill()
        daemon.start()
        [now] = led_from(daemon, "web")
        outcomes.add("done" if now == new else "not done")
    assert outcomes == {"done", "not done"}, "killed too early or too late each time"
    [last] = led_from(daemon, "web")
    daemon.docker("restart", "-t", "0", "web")
    assert led_from(daemon, "web") == {last}
