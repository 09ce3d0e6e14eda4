"""What is reachable, and from where: ports published and withdrawn while a container runs; the host's firewall."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rig.daemon import Daemon

SERVER = ("sh", "-c", "mkdir -p /www; echo here > /www/index.html; exec httpd -f -p 80 -h /www")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a web server is there; a moment is given to one that has just started."""
    try:
        with socket.create_connection((host, port), timeout=1) as client:
            client.settimeout(2)
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return b"here" in client.recv(1000) + client.recv(1000)
    except OSError:
        return False


def comes_to_answer(port: int, host: str = "127.0.0.1") -> bool:
    deadline = time.monotonic() + 5
    while not answers(port, host):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def ports(daemon: Daemon, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(daemon.docker("inspect", name).stdout)[0]["NetworkSettings"]["Ports"]
    return found


def test_ports_come_and_go_while_the_container_runs(daemon: Daemon) -> None:
    first, second, third = free_port(), free_port(), free_port()
    daemon.docker("run", "-d", "--name", "web", "-p", f"{first}:80", "busybox", *SERVER)
    pid = daemon.docker("inspect", "-f", "{{.State.Pid}}", "web").stdout
    assert comes_to_answer(first)
    daemon.corten("update", "--publish-add", f"127.0.0.1:{second}:80", "--publish-add", "80/udp", "web")
    assert answers(second)
    assert answers(first)
    assert ports(daemon, "web")["80/udp"][0]["HostPort"].isdigit()
    daemon.corten("update", "--publish-rm", f"{first}:80", "--publish-add", f"{third}:80", "web")
    assert not answers(first)
    assert answers(third)
    assert daemon.docker("inspect", "-f", "{{.State.Pid}}", "web").stdout == pid, "it was not restarted"
    # kept over a restart of the daemon, killed, and of the container
    daemon.kill()
    daemon.start()
    assert answers(second)
    assert answers(third)
    assert not answers(first)
    daemon.docker("restart", "-t", "0", "web")
    assert comes_to_answer(third)
    assert answers(second)
    assert not answers(first)
    assert {item["HostPort"] for item in ports(daemon, "web")["80/tcp"]} == {str(second), str(third)}
    daemon.corten("update", "--publish-rm", "80", "--publish-rm", "80/udp", "web")
    assert not any(ports(daemon, "web").values())
    assert not answers(second)


def test_what_cannot_be_published_changes_nothing(daemon: Daemon) -> None:
    port, taken = free_port(), free_port()
    daemon.docker("run", "-d", "--name", "web", "-p", f"{port}:80", "busybox", *SERVER)
    assert comes_to_answer(port)
    with socket.create_server(("", taken)):
        refused = daemon.corten(
            "update", "--publish-rm", f"{port}:80", "--publish-add", f"{taken}:80", "web", check=False
        )
        assert "address already in use" in refused.stderr
        assert refused.returncode == 1
    assert answers(port), "what was to go is still there"
    refused = daemon.corten("update", "--publish-rm", "81", "web", check=False)
    assert "port 81/tcp is not published" in refused.stderr
    daemon.docker("run", "-d", "--name", "shared", "--net=host", "busybox", "sleep", "100")
    refused = daemon.corten("update", "--publish-add", "80", "shared", check=False)
    assert "conflicting options: port publishing and the container type network mode" in refused.stderr


def test_ports_of_a_stopped_container_and_all_exposed_ones(daemon: Daemon) -> None:
    port = free_port()
    daemon.docker("create", "--name", "later", "-P", "--expose", "80", "--expose", "81", "busybox", *SERVER)
    daemon.corten("update", "--publish-rm", "81", "--publish-add", f"127.0.0.1:{port}:80", "later")
    daemon.docker("start", "later")
    assert comes_to_answer(port)
    found = ports(daemon, "later")
    assert not found.get("81/tcp")
    assert len({item["HostPort"] for item in found["80/tcp"]}) == 2
    chosen = next(item["HostPort"] for item in found["80/tcp"] if item["HostPort"] != str(port))
    daemon.corten("update", "--publish-rm", f"{chosen}:80", "later")
    assert [item["HostPort"] for item in ports(daemon, "later")["80/tcp"]] == [str(port)]


def test_exposures_tell_who_reaches_what(daemon: Daemon) -> None:
    base = free_port() // 100 * 100 + 100
    try:
        option = "com.docker.network.bridge.gateway_mode_ipv4=nat-unprotected"
        daemon.docker("network", "create", "-o", option, "openly")
        for name, *flags in (
            ("local", "-p", "127.0.0.1::80"),
            ("wide", "-p", f"0.0.0.0:{base}-{base + 9}:{base}-{base + 9}"),
            ("hosted", "--net=host"),
            ("bare", "--net=openly"),
            ("shut",),
        ):
            daemon.docker("run", "-d", "--name", name, *flags, "busybox", "sleep", "100")
        lines = daemon.corten("system", "exposures").stdout.splitlines()
        assert re.split(r"  +", lines[0].strip()) == [
            "CONTAINER ID", "NAME", "ADDRESS", "CONTAINER PORT", "REACHABLE FROM", "THROUGH",
        ]  # fmt: skip
        rows = {line.split()[1]: re.split(r"  +", line.strip()) for line in lines[1:]}
        assert set(rows) == {"local", "wide", "hosted", "bare"}
        assert rows["local"][4] == "this host"
        assert rows["wide"][2:] == [
            f"0.0.0.0:{base}-{base + 9}", f"{base}-{base + 9}/tcp", "everywhere", "published port",
        ]  # fmt: skip
        assert rows["hosted"][2:4] == ["*", "any"]
        assert rows["bare"][4:] == ["wherever a route leads here", "its own address"]
        [row] = [
            json.loads(line)
            for line in daemon.corten("system", "exposures", "--format", "json").stdout.splitlines()
            if '"local"' in line
        ]
        assert row["From"] == "this host"
    finally:
        daemon.docker("rm", "-f", "local", "wide", "hosted", "bare", "shut", check=False)
        daemon.docker("network", "rm", "openly", check=False)


@pytest.fixture
def input_table() -> Iterator[str]:
    """A table of a host firewall, empty; gone afterwards."""
    name = f"cttest{free_port()}"
    subprocess.run(["nft", f"add table inet {name}; add chain inet {name} in {{type filter hook input priority 0;}}"],
                   check=True)  # fmt: skip
    yield name
    subprocess.run(["nft", "delete", "table", "inet", name], check=True)


@pytest.mark.parametrize("flags", [("--host-firewall",), ()])
def test_the_hosts_input_rules_rule_in_host_firewall_mode(
    own_daemon: Callable[..., Daemon], input_table: str, flags: tuple[str, ...]
) -> None:
    """A rule as ufw writes it shuts a published port, but only in this mode."""
    daemon = own_daemon(*flags)
    port, udp = free_port(), free_port()
    daemon.docker("run", "-d", "--name", "web", "-p", f"{port}:80", "-p", f"{udp}:5000/udp", "busybox", *SERVER)
    own = host_address()
    assert comes_to_answer(port, own)
    subprocess.run(["nft", "add", "rule", "inet", input_table, "in", "tcp", "dport", str(port), "drop"], check=True)
    assert answers(port, own) is (not flags)
    reach = {
        json.loads(line)["From"] for line in daemon.corten("system", "exposures", "--format=json").stdout.splitlines()
    }
    assert reach == {"everywhere, as the host's firewall allows" if flags else "everywhere"}
    subprocess.run(["nft", "flush", "chain", "inet", input_table, "in"], check=True)
    daemon.kill()
    daemon.start()
    assert comes_to_answer(port, own), "again after a restart"


def host_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("192.0.2.254", 9))
        return str(sock.getsockname()[0])
