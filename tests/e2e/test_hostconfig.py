"""Each option of HostConfig (and the Config options that shape a process), observed from inside or from the kernel."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import pytest

from rig.daemon import Daemon

V2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
MIB = 1 << 20


def control(version1: str, version2: str) -> str:
    """A script that prints a file of the container's control groups."""
    return f"cat /sys/fs/cgroup/{version2 if V2 else version1}"


def output(client: docker.DockerClient, script: str, **host: Any) -> str:
    """What a script prints in a container with a raw HostConfig, both streams."""
    config = host.pop("Config", {})
    body = {"Image": "busybox", "Cmd": ["sh", "-c", script], "HostConfig": host, **config}
    answer = client.api._post_json(client.api._url("/containers/create"), data=body)
    made = client.api._result(answer, True)["Id"]
    client.api.start(made)
    client.api.wait(made)
    return client.api.logs(made).decode().strip()


def first_controller(name: str) -> bool:
    return V2 or Path(f"/sys/fs/cgroup/{name}").exists()


# option: (HostConfig, script, what is printed)
OBSERVED: dict[str, tuple[dict[str, Any], str, str]] = {
    "Memory": ({"Memory": 64 * MIB}, control("memory/memory.limit_in_bytes", "memory.max"), str(64 * MIB)),
    "MemoryReservation": (
        {"Memory": 64 * MIB, "MemoryReservation": 32 * MIB},
        control("memory/memory.soft_limit_in_bytes", "memory.low"), str(32 * MIB),
    ),
    "CpuShares": ({"CpuShares": 512}, control("cpu/cpu.shares", "cpu.weight"), "20" if V2 else "512"),
    "CpuQuota and CpuPeriod": (
        {"CpuQuota": 50000, "CpuPeriod": 100000}, control("cpu/cpu.cfs_quota_us", "cpu.max"),
        "50000 100000" if V2 else "50000",
    ),
    "NanoCpus": (
        {"NanoCpus": 1_500_000_000}, control("cpu/cpu.cfs_quota_us", "cpu.max"), "150000 100000" if V2 else "150000",
    ),
    "CpusetCpus": ({"CpusetCpus": "0"}, "grep Cpus_allowed_list /proc/self/status | cut -f2", "0"),
    "CpusetMems": ({"CpusetMems": "0"}, "grep Mems_allowed_list /proc/self/status | cut -f2", "0"),
    "PidsLimit": ({"PidsLimit": 77}, control("pids/pids.max", "pids.max"), "77"),
    "Ulimits": ({"Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}]}, "ulimit -Sn; ulimit -Hn", "100\n200"),
    "OomScoreAdj": ({"OomScoreAdj": 321}, "cat /proc/self/oom_score_adj", "321"),
    "ShmSize": ({"ShmSize": 8 * MIB}, "df -k /dev/shm | tail -1 | awk '{print $2}'", "8192"),
    "Tmpfs": ({"Tmpfs": {"/t": "size=1m,mode=700"}}, "df -k /t | awk 'END{print $2}'; stat -c %a /t", "1024\n700"),
    "Mounts of tmpfs": (
        {"Mounts": [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": MIB, "Mode": 0o750}}]},
        "df -k /t | tail -1 | awk '{print $2}'; stat -c %a /t", "1024\n750",
    ),
    "ReadonlyRootfs": ({"ReadonlyRootfs": True}, "touch /x 2>/dev/null || echo refused", "refused"),
    "Sysctls": ({"Sysctls": {"net.ipv4.ip_forward": "1"}}, "cat /proc/sys/net/ipv4/ip_forward", "1"),
    "Sysctls of ipc": ({"Sysctls": {"kernel.msgmax": "4242"}}, "cat /proc/sys/kernel/msgmax", "4242"),
    "CapAdd": ({"CapAdd": ["SYS_TIME"]}, "grep CapEff /proc/self/status | cut -f2", "00000000aa0425fb"),
    "CapDrop": ({"CapDrop": ["ALL"]}, "grep CapEff /proc/self/status | cut -f2", "0000000000000000"),
    "Privileged": (
        {"Privileged": True}, "mkdir /mnt && mount -t tmpfs x /mnt && grep Seccomp: /proc/self/status | cut -f2", "0",
    ),
    "SecurityOpt no-new-privileges": (
        {"SecurityOpt": ["no-new-privileges"]}, "grep NoNewPrivs /proc/self/status | cut -f2", "1",
    ),
    "SecurityOpt seccomp=unconfined": (
        {"SecurityOpt": ["seccomp=unconfined"]}, "grep Seccomp: /proc/self/status | cut -f2", "0",
    ),
    "SecurityOpt seccomp profile": (
        {"SecurityOpt": ["seccomp=" + json.dumps({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
        })]}, "mkdir /d 2>/dev/null || echo refused", "refused",
    ),
    "SecurityOpt systempaths=unconfined": (
        {"SecurityOpt": ["systempaths=unconfined"]}, "grep -c ' /proc/' /proc/self/mountinfo", "0",
    ),
    "SecurityOpt label": ({"SecurityOpt": ["label=disable"]}, "echo ignored", "ignored"),
    "Init": ({"Init": True}, "tr '\\0' ' ' < /proc/1/cmdline | cut -c-17", "/sbin/docker-init"),
    "PidMode host": ({"PidMode": "host"}, "test $$ -gt 1 && ls /proc | grep -c '^1$'", "1"),
    "IpcMode none": ({"IpcMode": "none"}, "mount | grep -c /dev/shm", "0"),
    "CgroupnsMode private": ({"CgroupnsMode": "private"}, "grep -c -v ':/$' /proc/self/cgroup", "0"),
    "NetworkMode none": ({"NetworkMode": "none"}, "ls /sys/class/net", "lo"),
    "ExtraHosts": ({"ExtraHosts": ["there:10.9.8.7"]}, "grep there /etc/hosts", "10.9.8.7\tthere"),
    "Dns": (
        {"Dns": ["10.1.1.1"], "DnsSearch": ["x.test"], "DnsOptions": ["ndots:3"]},
        "grep -v '^#' /etc/resolv.conf | grep -E 'nameserver|search|options' | sort",
        "nameserver 10.1.1.1\noptions ndots:3\nsearch x.test",
    ),
    "GroupAdd": ({"GroupAdd": ["1234"]}, "id -G | tr ' ' '\\n' | grep -c 1234", "1"),
    "Devices": (
        {"Devices": [{"PathOnHost": "/dev/loop-control", "PathInContainer": "/dev/mine", "CgroupPermissions": "r"}]}
        if Path("/dev/loop-control").exists()
        else {"Devices": [{"PathOnHost": "/dev/zero", "PathInContainer": "/dev/mine", "CgroupPermissions": "rwm"}]},
        "test -c /dev/mine && echo there", "there",
    ),
    "DeviceCgroupRules": (
        {"DeviceCgroupRules": ["c 10:229 rwm"]}, "mknod /d c 10 229; (: < /d) 2>&1 | grep -c permitted", "0",
    ),
    "MaskedPaths": ({"MaskedPaths": ["/etc/passwd"]}, "wc -c < /etc/passwd", "0"),
    "ReadonlyPaths": ({"ReadonlyPaths": ["/home"]}, "touch /home/x 2>/dev/null || echo refused", "refused"),
    "CgroupParent": ({"CgroupParent": "/corten-tests", "CgroupnsMode": "host"},
                     "grep -c /corten-tests/ /proc/self/cgroup | sed 's/[1-9][0-9]*/some/'", "some"),
    "UTSMode host": ({"UTSMode": "host"}, "hostname", Path("/proc/sys/kernel/hostname").read_text().strip()),
}  # fmt: skip

CONFIGURED: dict[str, tuple[dict[str, Any], str, str]] = {
    "Hostname": ({"Hostname": "chosen"}, "hostname; grep -c chosen /etc/hosts", "chosen\n1"),
    "Domainname": ({"Hostname": "h", "Domainname": "d.test"}, "cat /proc/sys/kernel/domainname", "d.test"),
    "User": ({"User": "33:44"}, "id -u; id -g", "33\n44"),
    "Env": ({"Env": ["A=b c"]}, 'echo "$A"', "b c"),
    "WorkingDir": ({"WorkingDir": "/made/for/it"}, "pwd", "/made/for/it"),
    "Volumes": ({"Volumes": {"/anon": {}}}, "grep -c ' /anon ' /proc/self/mountinfo", "1"),
    "Tty": ({"Tty": True}, "tty", "/dev/pts/0"),
}


@pytest.mark.parametrize("name", sorted(OBSERVED))
def test_host_config(client: docker.DockerClient, name: str) -> None:
    host, script, expected = OBSERVED[name]
    assert output(client, script, **host) == expected


@pytest.mark.parametrize("name", sorted(CONFIGURED))
def test_config(client: docker.DockerClient, name: str) -> None:
    config, script, expected = CONFIGURED[name]
    assert output(client, script, Config=config) == expected


def test_swap_is_what_goes_beyond_memory(client: docker.DockerClient) -> None:
    if not V2 and not Path("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists():
        pytest.skip("this kernel does not account swap")
    limits = {"Memory": 64 * MIB, "MemorySwap": 96 * MIB}
    found = output(client, control("memory/memory.memsw.limit_in_bytes", "memory.swap.max"), **limits)
    assert int(found) == (32 * MIB if V2 else 96 * MIB)


@pytest.mark.skipif(V2, reason="version 1 only")
@pytest.mark.parametrize(("field", "value", "file"), [
    ("MemorySwappiness", 7, "memory/memory.swappiness"),
    ("OomKillDisable", True, "memory/memory.oom_control"),
])  # fmt: skip
def test_memory_options_of_version_1(client: docker.DockerClient, field: str, value: Any, file: str) -> None:
    found = output(client, f"cat /sys/fs/cgroup/{file}", Memory=64 * MIB, **{field: value})
    assert found == "7" if field == "MemorySwappiness" else "oom_kill_disable 1" in found


def test_an_oom_kill_is_told(client: docker.DockerClient, daemon: Daemon) -> None:
    daemon.docker("run", "--name", "greedy", "-m", "16m", "--memory-swap", "16m", "busybox", "sh", "-c",
                  "x=$(cat /dev/zero | head -c 60000000 | tr '\\0' x)", check=False)  # fmt: skip
    state = client.containers.get("greedy").attrs["State"]
    assert state["OOMKilled"] and state["ExitCode"] in (137, 1, 2)


def test_block_io_weights_and_rates(client: docker.DockerClient) -> None:
    blkio = Path("/sys/fs/cgroup/blkio")
    device = next((str(path) for path in (Path("/dev/vda"), Path("/dev/sda")) if path.exists()), None)
    if V2 or not (blkio / "blkio.throttle.read_bps_device").exists() or device is None:
        pytest.skip("no version 1 block controller or no disk")
    for way in ("Read", "Write"):
        for unit, name in (("Bps", "bps"), ("IOps", "iops")):
            file = f"/sys/fs/cgroup/blkio/blkio.throttle.{way.lower()}_{name}_device"
            found = output(client, f"cat {file}", **{f"BlkioDevice{way}{unit}": [{"Path": device, "Rate": 1048576}]})
            assert found.endswith(" 1048576")


def test_binds_and_their_modes(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("from the host")
    run = ("run", "--rm")
    assert daemon.docker(*run, "-v", f"{tmp_path}:/m", "busybox", "cat", "/m/f").stdout == "from the host"
    read_only = daemon.docker(*run, "-v", f"{tmp_path}:/m:ro", "busybox", "touch", "/m/g", check=False)
    assert "Read-only" in read_only.stderr
    daemon.docker(*run, "--mount", f"type=bind,src={tmp_path},dst=/m", "busybox", "touch", "/m/g")
    assert (tmp_path / "g").exists()


def test_volumes_from(daemon: Daemon) -> None:
    daemon.docker("run", "--name", "giver", "-v", "/data", "busybox", "sh", "-c", "echo shared > /data/x")
    assert daemon.docker("run", "--rm", "--volumes-from", "giver", "busybox", "cat", "/data/x").stdout == "shared\n"
    refused = daemon.docker("run", "--rm", "--volumes-from", "giver:ro", "busybox", "touch", "/data/y", check=False)
    assert refused.returncode != 0


@pytest.mark.parametrize(("flag", "namespace"), [("--pid", "pid"), ("--network", "net"), ("--ipc", "ipc")])
def test_namespaces_of_another_container(daemon: Daemon, flag: str, namespace: str) -> None:
    options = ["--ipc", "shareable"] if namespace == "ipc" else []
    daemon.docker("run", "-d", "--name", "owner", *options, "busybox", "sleep", "100")
    show = ("readlink", f"/proc/self/ns/{namespace}")
    theirs = daemon.docker("exec", "owner", *show).stdout
    assert daemon.docker("run", "--rm", flag, "container:owner", "busybox", *show).stdout == theirs
    assert daemon.docker("run", "--rm", "busybox", *show).stdout != theirs


@pytest.mark.parametrize(("flag", "namespace"), [
    ("--pid", "pid"), ("--network", "net"), ("--ipc", "ipc"), ("--uts", "uts"), ("--cgroupns", "cgroup"),
])  # fmt: skip
def test_namespaces_of_the_host(daemon: Daemon, flag: str, namespace: str) -> None:
    ours = Path(f"/proc/self/ns/{namespace}").readlink()
    shown = daemon.docker("run", "--rm", flag, "host", "busybox", "readlink", f"/proc/self/ns/{namespace}")
    assert shown.stdout.strip() == str(ours)


def test_links_and_published_ports(daemon: Daemon) -> None:
    daemon.docker("run", "-d", "--name", "server", "--expose", "80", "-P", "busybox", "sleep", "100")
    assert daemon.docker("port", "server", "80").stdout.startswith(("0.0.0.0:", "[::]:"))
    linked = daemon.docker("run", "--rm", "--link", "server:web", "busybox", "sh", "-c", "grep -c web /etc/hosts; env")
    assert linked.stdout.startswith("1\n") and "WEB_PORT_80_TCP_PORT=80" in linked.stdout
    assert not linked.stderr


def test_a_link_where_containers_may_not_talk_warns(own_daemon: Callable[..., Daemon]) -> None:
    daemon = own_daemon("--icc=false")
    daemon.docker("run", "-d", "--name", "server", "--expose", "80", "busybox", "sleep", "100")
    script = "ping -c 1 -W 1 $WEB_PORT_80_TCP_ADDR"
    linked = daemon.docker("run", "--rm", "--link", "server:web", "busybox", "sh", "-c", script, check=False)
    assert linked.returncode == 1 and "100% packet loss" in linked.stdout
    assert "WARNING: The link to web gives names and variables, but no leave to talk" in linked.stderr


def test_annotations_storage_and_console_size_are_kept(client: docker.DockerClient) -> None:
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Annotations": {"a": "b"}, "ConsoleSize": [30, 90]}}
    made = client.api._result(client.api._post_json(client.api._url("/containers/create"), data=body), True)["Id"]
    host = client.containers.get(made).attrs["HostConfig"]
    assert host["Annotations"] == {"a": "b"} and host["ConsoleSize"] == [30, 90]


def test_the_terminals_first_size(client: docker.DockerClient) -> None:
    assert output(client, "stty size", Config={"Tty": True}, ConsoleSize=[31, 91]) == "31 91"


def test_stop_signal_and_timeout(daemon: Daemon) -> None:
    daemon.docker("run", "-d", "--name", "polite", "--stop-signal", "USR1", "--stop-timeout", "30", "busybox", "sh",
                  "-c", "trap 'exit 44' USR1; sleep 100 & wait")  # fmt: skip
    daemon.docker("stop", "polite", timeout=25)
    assert daemon.docker("inspect", "-f", "{{.State.ExitCode}}", "polite").stdout == "44\n"


@pytest.mark.parametrize(("policy", "code", "starts"), [("no", 3, 1), ("on-failure:2", 3, 3), ("on-failure:2", 0, 1)])
def test_restart_policies(daemon: Daemon, policy: str, code: int, starts: int) -> None:
    import time

    daemon.docker("run", "-d", "--name", "again", "--restart", policy, "busybox", "sh", "-c", f"echo up; exit {code}")
    deadline = time.monotonic() + 15
    while daemon.docker("inspect", "-f", "{{.State.Status}}", "again").stdout != "exited\n":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert daemon.docker("logs", "again").stdout == "up\n" * starts


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "DeviceRequests": ({"DeviceRequests": [{"Driver": "nvidia", "Count": -1, "Capabilities": [["gpu"]]}]}, 501, "gpu"),
    "Runtime": ({"Runtime": "no-such"}, 400, "runtime"),
    "Isolation": ({"Isolation": "hyperv"}, 400, "isolation"),
    "Ulimits": ({"Ulimits": [{"Name": "nofile", "Soft": 5, "Hard": 3}]}, 400, "ulimit"),
    "RestartPolicy": ({"RestartPolicy": {"Name": "sometimes"}}, 400, "restart policy"),
    "AutoRemove": ({"AutoRemove": True, "RestartPolicy": {"Name": "always"}}, 400, "AutoRemove"),
    "CapAdd": ({"CapAdd": ["FLY"]}, 400, "capability"),
    "ShmSize": ({"ShmSize": -1}, 400, "SHM"),
    "OomScoreAdj": ({"OomScoreAdj": 2000}, 400, "range"),
    "PidMode": ({"PidMode": "strange"}, 400, "PID mode"),
    "UsernsMode": ({"UsernsMode": "strange"}, 400, "userns mode"),
    "SecurityOpt": ({"SecurityOpt": ["magic=1"]}, 400, "security-opt"),
    "Binds": ({"Binds": ["relative/path:/x"]}, 400, "volume name"),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_nonsense_is_refused(client: docker.DockerClient, name: str) -> None:
    host, status, words = REFUSED[name]
    with pytest.raises(docker.errors.APIError) as refused:
        output(client, "true", **host)
    assert refused.value.status_code == status and words in str(refused.value)
