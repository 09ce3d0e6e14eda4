"""Eight clients do random things while daemon, zygote and shims are killed: at the end API, kernel and disk agree.

CORTEN_CHAOS_ROUNDS sets the number of operations (the issue's long form is 500 rounds of each client).
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import docker
import pytest
import requests

from rig.daemon import Daemon

ROUNDS = int(os.environ.get("CORTEN_CHAOS_ROUNDS", "25"))
CLIENTS = 8
# Ours alone: other daemons on the machine have sleepers too, in groups of the same name.
SLEEP = ["sleep", str(1_000_000 + os.getpid())]


def operate(daemon: Daemon, seed: int, faults: list[str]) -> None:
    """One client: random operations on its own few containers; answers may be errors, never nonsense."""
    chance = random.Random(seed)
    client = docker.APIClient(base_url=daemon.host, version="1.50", timeout=30)
    for _ in range(ROUNDS):
        name = f"chaos-{seed}-{chance.randrange(3)}"
        action = chance.choice(["create", "start", "start", "exec", "stop", "kill", "remove", "list"])
        try:
            if action == "create":
                client.create_container("busybox", SLEEP, name=name)
            elif action == "start":
                client.start(name)
            elif action == "exec":
                client.exec_start(client.exec_create(name, ["true"])["Id"])
            elif action == "stop":
                client.stop(name, timeout=0)
            elif action == "kill":
                client.kill(name)
            elif action == "remove":
                client.remove_container(name, force=True)
            else:
                client.containers(all=True)
        except docker.errors.APIError as error:
            if error.status_code == 500 and "No such process" in str(error):
                faults.append(f"{action} {name}: {error}")
        except (requests.exceptions.RequestException, OSError):
            time.sleep(0.05)  # the daemon is away
        except Exception as error:
            if "Connection" not in repr(error) and "IncompleteRead" not in repr(error):
                faults.append(f"{action} {name}: {error!r}")


def shim_pids(daemon: Daemon) -> list[int]:
    found = []
    for zygote in daemon.zygote_pids():
        found += [int(pid) for pid in Path(f"/proc/{zygote}/task/{zygote}/children").read_text().split()]
    return found


@pytest.mark.slow
@pytest.mark.timeout(300 + ROUNDS * 8)
@pytest.mark.parametrize("runtime", ["corten", "runc"])
def test_chaos(own_daemon: Callable[..., Daemon], runtime: str) -> None:
    if runtime != "corten" and shutil.which(runtime) is None:
        pytest.skip(f"{runtime} is not installed: scripts/install-packages")
    daemon = own_daemon("--default-runtime", runtime)
    faults: list[str] = []
    clients = [threading.Thread(target=operate, args=(daemon, seed, faults)) for seed in range(CLIENTS)]
    for client in clients:
        client.start()
    chance = random.Random(99)
    while any(client.is_alive() for client in clients):
        time.sleep(chance.uniform(0.3, 1.2))
        victim = chance.choice(["daemon", "zygote", "shim", "both"])
        if victim == "shim" and (shims := shim_pids(daemon)):
            try:
                os.kill(chance.choice(shims), signal.SIGKILL)
            except ProcessLookupError:
                continue
        if victim in ("zygote", "both"):
            daemon.kill_zygote()
        if victim in ("daemon", "both"):
            daemon.kill()
            daemon.start()
    assert faults == []
    agree(daemon)


def agree(daemon: Daemon) -> None:
    """The daemon still does its work, and once all is removed nothing of it is left in the kernel or on disk."""
    assert daemon.docker("run", "--rm", "busybox", "echo", "fine").stdout == "fine\n"
    if listed := daemon.docker("ps", "-aq", "--no-trunc").stdout.split():
        daemon.docker("rm", "-f", *listed)
    assert daemon.docker("ps", "-aq").stdout == ""
    deadline = time.monotonic() + 20
    while (left := remains(daemon)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []


def remains(daemon: Daemon) -> list[str]:
    root = str(daemon.root)
    left = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if root in line]
    left += [str(path) for path in (daemon.data_root / "containers").iterdir() if len(path.name) == 64]
    left += [str(path) for path in daemon.exec_root.glob("runtimes/*/*")]
    links = Path(f"/sys/class/net/{daemon.bridge}/brif")
    left += [link.name for link in links.iterdir()] if links.exists() else []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
                state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
            except OSError:
                continue
            if command == "\0".join([*SLEEP, ""]).encode() and state != "Z" and in_our_group(entry):
                left.append(f"process {entry.name}")
    return left


def in_our_group(entry: Path) -> bool:
    try:
        return "/corten" in (entry / "cgroup").read_text()
    except OSError:
        return False
