"""From the words of ``run`` to the body of a create request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.cli import flags
from corten.cli.commands import run
from corten.cli.containers import body, mounts, network, ports
from corten.cli.flags import FlagError
from corten.errors import Invalid, NotImplementedYet


def build(*words: str) -> dict[str, Any]:
    options, rest, _ = flags.parse(words, flags.parse_table(run.COMMAND.flags), interspersed=False)
    image, *command = rest
    return body.build(options, image, command)


def test_plain() -> None:
    assert build("busybox", "echo", "-n", "hi") == {
        "Image": "busybox",
        "Cmd": ["echo", "-n", "hi"],
        "Entrypoint": None,
        "Hostname": "",
        "Domainname": "",
        "User": "",
        "WorkingDir": "",
        "Tty": False,
        "OpenStdin": False,
        "StdinOnce": False,
        "AttachStdin": False,
        "AttachStdout": True,
        "AttachStderr": True,
        "Env": [],
        "Labels": {},
        "ExposedPorts": {},
        "Volumes": {},
        "HostConfig": {
            "Binds": [],
            "PortBindings": {},
            "NetworkMode": "default",
            "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
            "LogConfig": {"Type": "", "Config": {}},
        },
        "NetworkingConfig": {"EndpointsConfig": {}},
    }


def test_much(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HERE", "there")
    (tmp_path / "env").write_text("# words\n\nF=1\nHERE\nGONE\n")
    words = (
        f"-it --rm --name x -h box -u 5:6 -w /w -e A=b -e HERE -e GONE --env-file {tmp_path}/env -l a=b -l c"
        " -p 127.0.0.1:8080:80 -p 53:53/udp -P --expose 90-91 -v /a:/b:ro -v vol:/c -v /anon"
        " --mount type=bind,src=/s,dst=/d,ro --tmpfs /t:size=1m -m 64m --memory-swap -1 --cpus .5 --pids-limit 9"
        " --cap-add NET_ADMIN --cap-drop ALL --device /dev/null:/dev/x:r --ulimit nofile=1:2 --sysctl a.b=1"
        " --security-opt no-new-privileges --security-opt systempaths=unconfined --add-host h:1.2.3.4"
        " --dns 9.9.9.9 --init --read-only --stop-signal INT --stop-timeout 3 --entrypoint /e"
        " --health-cmd true --health-interval 5s --log-driver json-file --log-opt max-size=1m --network host"
        " --device-read-bps /dev/sda:1mb --blkio-weight-device /dev/sda:100 --shm-size 1m image arg"
    )
    made = build(*words.split())
    host = made.pop("HostConfig")
    assert made["Env"] == ["F=1", "HERE=there", "A=b", "HERE=there"]
    assert made["Labels"] == {"a": "b", "c": ""}
    assert made["Tty"] and made["OpenStdin"] and made["StdinOnce"] and made["AttachStdin"]
    assert set(made["ExposedPorts"]) == {"80/tcp", "53/udp", "90/tcp", "91/tcp"}
    assert made["Volumes"] == {"/anon": {}}
    assert made["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000}
    assert (made["Entrypoint"], made["Cmd"]) == (["/e"], ["arg"])
    assert (made["StopSignal"], made["StopTimeout"]) == ("INT", 3)
    assert host == {
        "AutoRemove": True,
        "Binds": ["/a:/b:ro", "vol:/c"],
        "BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 1 << 20}],
        "BlkioWeightDevice": [{"Path": "/dev/sda", "Weight": 100}],
        "CapAdd": ["NET_ADMIN"],
        "CapDrop": ["ALL"],
        "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "r"}],
        "Dns": ["9.9.9.9"],
        "ExtraHosts": ["h:1.2.3.4"],
        "Init": True,
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
        "MaskedPaths": [],
        "Memory": 64 << 20,
        "MemorySwap": -1,
        "Mounts": [{"Type": "bind", "Source": "/s", "Target": "/d", "ReadOnly": True}],
        "NanoCpus": 500_000_000,
        "NetworkMode": "host",
        "PidsLimit": 9,
        "PortBindings": {
            "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
            "53/udp": [{"HostIp": "", "HostPort": "53"}],
        },
        "PublishAllPorts": True,
        "ReadonlyPaths": [],
        "ReadonlyRootfs": True,
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "SecurityOpt": ["no-new-privileges"],
        "ShmSize": 1 << 20,
        "Sysctls": {"a.b": "1"},
        "Tmpfs": {"/t": "size=1m"},
        "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
    }


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("80", [("80/tcp", "", "")]),
        ("80/UDP", [("80/udp", "", "")]),
        ("8080:80", [("80/tcp", "", "8080")]),
        ("127.0.0.1::80", [("80/tcp", "127.0.0.1", "")]),
        ("[::1]:8080:80/sctp", [("80/sctp", "::1", "8080")]),
        ("8000-8001:90-91", [("90/tcp", "", "8000"), ("91/tcp", "", "8001")]),
        ("8000-8010:80", [("80/tcp", "", "8000-8010")]),
        ("90-91", [("90/tcp", "", ""), ("91/tcp", "", "")]),
        ("target=80,published=8080,protocol=udp", [("80/udp", "", "8080")]),
    ],
)
def test_publish(word: str, found: list[tuple[str, str, str]]) -> None:
    assert ports.parse(word) == found


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("x", "invalid containerPort: x"),
        ("x:80", "invalid hostPort: x"),
        ("1.2.3:80:80", "invalid IP address: 1.2.3"),
        ("80:80:80:80", "invalid IP address: 80:80"),
        ("80:", "no port specified: 80:<empty>"),
        ("80/icmp", "invalid proto: icmp"),
        ("1-2:1-3", "invalid ranges specified for container and host Ports: 1-3 and 1-2"),
        ("70000", "invalid containerPort: 70000"),
        ("2-1", "invalid containerPort: 2-1"),
    ],
)
def test_publish_refused(word: str, message: str) -> None:
    with pytest.raises(Invalid) as refused:
        ports.parse(word)
    assert refused.value.message == message


@given(st.text(alphabet="0123456789:-/.[]abtcpu", max_size=24))
def test_publish_anything(word: str) -> None:
    try:
        found = ports.parse(word)
    except Invalid:
        return
    assert all(0 <= int(port.container.partition("/")[0]) < 65536 for port in found)


def test_mounts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert mounts.binds_and_volumes(["./x:/y", "..:/z", "name:/n:ro,z"])[0] == [
        f"{tmp_path}/x:/y",
        f"{tmp_path.parent}:/z",
        "name:/n:ro,z",
    ]
    assert mounts.parse(
        "type=volume,source=v,target=/t,volume-nocopy,volume-label=a=b,volume-opt=o=x,volume-driver=d"
    ) == {
        "Type": "volume",
        "Source": "v",
        "Target": "/t",
        "VolumeOptions": {"NoCopy": True, "Labels": {"a": "b"}, "DriverConfig": {"Name": "d", "Options": {"o": "x"}}},
    }
    assert mounts.parse("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1777")["TmpfsOptions"] == {
        "SizeBytes": 1 << 20,
        "Mode": 0o1777,
    }
    assert mounts.parse("type=bind,src=/a,dst=/b,bind-propagation=rshared,bind-recursive=readonly,readonly=false") == {
        "Type": "bind",
        "Source": "/a",
        "Target": "/b",
        "BindOptions": {"Propagation": "rshared", "ReadOnlyForceRecursive": True},
    }


@pytest.mark.parametrize(
    "word",
    [
        "x",
        "type=bind,source=/a",
        "type=what,dst=/a",
        "type=tmpfs,dst=/a,bind-propagation=rshared",
        "dst=/a,nope=1",
        "type=tmpfs,dst=/a,tmpfs-mode=9",
        "type=bind,src=/a,dst=/b,ro=maybe",
        "",
    ],
)
def test_mounts_refused(word: str) -> None:
    with pytest.raises(FlagError, match="--mount"):
        mounts.parse(word)


def endpoints(*words: str) -> tuple[str, dict[str, Any]]:
    options, _, _ = flags.parse(words, flags.parse_table(run.COMMAND.flags))
    return network.mode_and_endpoints(options)


def test_networks() -> None:
    assert endpoints() == ("default", {})
    assert endpoints("--network", "none") == ("none", {})
    assert endpoints("--net", "n1", "--net-alias", "a", "--ip", "10.0.0.2") == (
        "n1",
        {"n1": {"Aliases": ["a"], "IPAMConfig": {"IPv4Address": "10.0.0.2"}}},
    )
    assert endpoints("--network", "name=n1,alias=a,driver-opt=k=v", "--network", "n2") == (
        "n1",
        {"n1": {"Aliases": ["a"], "DriverOpts": {"k": "v"}}, "n2": {}},
    )
    for words in (
        ["--network", "n", "--network", "n"],
        ["--network", "n", "--network", "host"],
        ["--network", "x=y"],
        ["--network", "n", "--ip", "10.0.0"],
        ["--network", "container:c", "--network-alias", "a"],
    ):
        with pytest.raises(Invalid):
            endpoints(*words)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["--rm", "--restart", "always"], Invalid),
        (["--gpus", "all"], NotImplementedYet),
        (["-a", "nowhere"], Invalid),
        (["--no-healthcheck", "--health-cmd", "x"], Invalid),
        (["--restart", "on-failure:x"], Invalid),
        (["--add-host", "h"], Invalid),
        (["--add-host", "h:1.2.3"], Invalid),
        (["--device", "/dev/a:/dev/b:xyz"], Invalid),
        (["--ulimit", "nofile=5:1"], Invalid),
        (["--env-file", "/nowhere"], Invalid),
        (["--security-opt", "seccomp=/nowhere"], Invalid),
        (["--device-read-iops", "/dev/a:1mb"], Invalid),
        (["-e", "=x"], Invalid),
        (["-l", "=x"], Invalid),
        (["--log-driver", "none", "--log-opt", "a=b"], Invalid),
    ],
)
def test_refused(words: list[str], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        build(*words, "image")
