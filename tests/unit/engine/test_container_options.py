"""Create requests: merging with the image, defaults, and what is refused in dockerd's words."""

from __future__ import annotations

from typing import Any

import pytest

from corten.engine.containers import mounts, options, security, signals, top
from corten.engine.containers.model import MountPoint
from corten.engine.containers.status import MOVES, Status, check
from corten.errors import Conflict, Invalid


def config(image: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    return options.read_config({"Cmd": ["sh"]} | given, image or {})


def host(**given: Any) -> dict[str, Any]:
    return options.read_host_config(given, options.Defaults())


def refuse(words: str, config_: dict[str, Any] | None = None, **given: Any) -> None:
    with pytest.raises(Invalid, match=words):
        options.check(config_ or config(), host(**given))


def test_the_image_fills_in() -> None:
    image = {
        "Env": ["PATH=/bin", "A=1"],
        "Cmd": ["run"],
        "Entrypoint": ["/e"],
        "User": "u",
        "Labels": {"x": "1"},
        "Volumes": {"/v": {}},
        "ExposedPorts": {"80/tcp": {}},
        "WorkingDir": "/w",
    }
    merged = options.read_config({"Env": ["A=2"], "Labels": {"y": "2"}}, image)
    assert merged["Env"] == ["A=2", "PATH=/bin"]
    assert (merged["Entrypoint"], merged["Cmd"], merged["User"], merged["WorkingDir"]) == (["/e"], ["run"], "u", "/w")
    assert merged["Labels"] == {"x": "1", "y": "2"}
    assert merged["Volumes"] == {"/v": {}} and merged["ExposedPorts"] == {"80/tcp": {}}


def test_an_entrypoint_hides_the_images_command() -> None:
    image = {"Cmd": ["run"], "Entrypoint": ["/e"]}
    assert options.read_config({"Entrypoint": ["x"]}, image)["Cmd"] is None
    assert options.read_config({"Entrypoint": [""], "Cmd": ["y"]}, image)["Entrypoint"] is None
    assert options.read_config({"Cmd": ["y"]}, image)["Entrypoint"] == ["/e"]


def test_field_names_in_any_case_and_wrong_kinds() -> None:
    assert config(hostname="h")["Hostname"] == "h"
    with pytest.raises(Invalid, match=r"cannot unmarshal string into Go struct field HostConfig.Memory of type int64"):
        host(Memory="1")


def test_defaults() -> None:
    filled = host()
    assert (filled["NetworkMode"], filled["IpcMode"], filled["ShmSize"]) == ("bridge", "private", 64 << 20)
    assert filled["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}
    assert filled["LogConfig"] == {"Type": "json-file", "Config": {}}
    assert filled["MaskedPaths"] == list(security.MASKED_PATHS)
    assert host(Privileged=True)["MaskedPaths"] is None
    assert host(Memory=64 << 20)["MemorySwap"] == 128 << 20


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("Minimum memory limit allowed is 6MB", {"Memory": 1024}),
        ("Minimum memory limit allowed is 6MB", {"Memory": -1}),
        ("shares: invalid argument", {"CpuShares": -1}),
        ("does not support configuration of maximum IOPs", {"IOMaximumIOps": 1}),
        ("does not support configuration of maximum bandwidth", {"IOMaximumBandwidth": 1}),
        ("invalid size: '-1m'", {"LogConfig": {"Type": "json-file", "Config": {"max-size": "-1m"}}}),
        ("Minimum memoryswap limit should be larger", {"Memory": 64 << 20, "MemorySwap": 32 << 20}),
        ("You should always set the Memory limit", {"MemorySwap": 32 << 20}),
        ("can't create 'AutoRemove' container", {"AutoRemove": True, "RestartPolicy": {"Name": "always"}}),
        ("Conflicting options: Nano CPUs and CPU Period", {"NanoCpus": 10**9, "CpuPeriod": 100000}),
        ("CPU cfs period can not be less", {"CpuPeriod": 1}),
        ("Invalid value x for cpuset cpus: invalid format: x", {"CpusetCpus": "x"}),
        ("Invalid value 3-1 for cpuset cpus: invalid format: 3-1", {"CpusetCpus": "3-1"}),
        ("Invalid value 0-99999999999 for cpuset cpus: value of out range", {"CpusetCpus": "0-99999999999"}),
        ("Requested CPUs are not available", {"CpusetCpus": "4000"}),
        ("Range of blkio weight", {"BlkioWeight": 1}),
        ("range for oom score adj", {"OomScoreAdj": 2000}),
        ("invalid IPC mode: zzz", {"IpcMode": "zzz"}),
        ("invalid PID mode: container:", {"PidMode": "container:"}),
        ("unknown or invalid runtime name: x", {"Runtime": "x"}),
        ("port publishing and the container type", {"NetworkMode": "container:x", "PublishAllPorts": True}),
        ("bad format for add-host", {"ExtraHosts": ["x"]}),
    ],
)
def test_nonsense_in_dockerds_words(words: str, given: dict[str, Any]) -> None:
    refuse(words, **given)


def test_ports_that_are_exposed_conflict_only_if_asked_for() -> None:
    """docker: those of the image do not count."""
    options.check_given({"ExposedPorts": {"80/tcp": {}}}, host())
    options.check_given({}, host(NetworkMode="container:x"))
    with pytest.raises(Invalid, match="port exposing and the container type network mode"):
        options.check_given({"ExposedPorts": {"80/tcp": {}}}, host(NetworkMode="container:x"))


@pytest.mark.parametrize(
    ("arguments", "titles"),
    [
        ("-ef", "UID PID PPID C STIME TTY TIME CMD"),
        ("-e", "PID TTY TIME CMD"),
        ("aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
        ("-eo pid,comm", "PID COMMAND"),
        ("-o pid -o user=OWNER", "PID OWNER"),
        ("-opid,args", "PID COMMAND"),
        ("--format=pid", "PID"),
    ],
)
def test_columns_of_top(arguments: str, titles: str) -> None:
    assert " ".join(title for _, title in top.read_columns(arguments)) == titles


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("-o", "ps: error: format specification must follow -o"),
        ("-o pid,foo", 'ps: error: unknown user-defined format specifier "foo"'),
        ("-o comm", "Couldn't find PID field in ps output"),
        ("--nope", "ps: error: unknown gnu long option"),
        ("-Z9", "ps: error: unsupported SysV option"),
        ("k", "ps: error: unsupported option \\(BSD syntax\\)"),
    ],
)
def test_columns_that_ps_would_refuse(arguments: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        top.read_columns(arguments)


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("unknown policy 'x'", {"RestartPolicy": {"Name": "x"}}),
        (
            "maximum retry count can only be used with 'on-failure'",
            {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 1}},
        ),
        ("no log driver named 'x'", {"LogConfig": {"Type": "x"}}),
        ("invalid port specification", {"PortBindings": {"x/tcp": []}}),
        ("invalid port specification", {"PortBindings": {"80/tcp": [{"HostPort": "abc"}]}}),
        ("ulimit soft limit must be less", {"Ulimits": [{"Name": "nofile", "Soft": 2, "Hard": 1}]}),
    ],
)
def test_nonsense_found_while_reading(words: str, given: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match=words):
        host(**given)


def test_config_is_checked() -> None:
    refuse("no command specified", options.read_config({}, {}))
    refuse("needs to be an absolute path", config(WorkingDir="x"))
    refuse("invalid environment variable: =x", config(Env=["=x"]))
    refuse("invalid signal: FOO", config(StopSignal="FOO"))
    refuse("Interval in Healthcheck cannot be less than 1ms", config(Healthcheck={"Test": ["CMD", "x"], "Interval": 5}))


def test_capabilities() -> None:
    assert security.capabilities(host()) == sorted(security.DEFAULT_CAPABILITIES, key=security.ALL_CAPABILITIES.index)
    assert security.capabilities(host(CapDrop=["ALL"], CapAdd=["net_raw"])) == ["CAP_NET_RAW"]
    assert "CAP_CHOWN" not in security.capabilities(host(CapDrop=["CHOWN"]))
    assert len(security.capabilities(host(CapAdd=["ALL"], CapDrop=["MKNOD"]))) == len(security.ALL_CAPABILITIES) - 1
    with pytest.raises(Invalid, match='invalid CapAdd: unknown capability: "CAP_X"'):
        security.capabilities(host(CapAdd=["X"]))


def test_security_options() -> None:
    read = security.read(["no-new-privileges", "seccomp=unconfined", "label=disable", "systempaths=unconfined"])
    assert read.no_new_privileges and read.systempaths_unconfined and read.seccomp == "unconfined"
    assert security.read(['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']).seccomp_profile() is not None
    with pytest.raises(Invalid, match='invalid --security-opt 1: "x"'):
        security.read(["x"])
    with pytest.raises(Invalid, match='invalid --security-opt 2: "x=y"'):
        security.read(["x=y"])
    with pytest.raises(Invalid, match="Decoding seccomp profile failed"):
        security.read(["seccomp=/not/json"])


@pytest.mark.parametrize(("text", "number"), [("TERM", 15), ("SIGKILL", 9), ("3", 3), ("rtmin+2", 36), ("RTMAX-1", 63)])
def test_signals(text: str, number: int) -> None:
    assert signals.number(text) == number


@pytest.mark.parametrize("text", ["", "0", "99", "NOPE", "RTMIN+99", "\u00b2"])
def test_no_signals(text: str) -> None:
    with pytest.raises(Invalid, match="invalid signal"):
        signals.number(text)


def test_every_move_of_a_life_is_in_the_table() -> None:
    assert set(MOVES) == set(Status)
    assert check(Status.CREATED, Status.RUNNING) is Status.RUNNING
    with pytest.raises(Conflict, match="a container that is removing cannot become running"):
        check(Status.REMOVING, Status.RUNNING)


def test_binds() -> None:
    point = mounts.parse_bind("/a/../b:/c/:ro,z,rslave")
    assert (point.type, point.source, point.destination, point.rw, point.propagation) == (
        "bind",
        "/b",
        "/c",
        False,
        "rslave",
    )
    point = mounts.parse_bind("vol:/d:nocopy")
    assert (point.type, point.name, point.copy, point.rw) == ("volume", "vol", False, True)
    assert mounts.parse_bind("/only").anonymous


@pytest.mark.parametrize(
    "text", ["/a:/b:xx", "/a:b", "a b:/c", "/a:/b:ro,rw", "/a:/", ":/x", "/a:/b:", "v:/x:rshared", "a:b:c:d"]
)
def test_bad_binds(text: str) -> None:
    with pytest.raises(Invalid):
        mounts.parse_bind(text)


def test_mounts_of_the_api() -> None:
    point = mounts.parse_mount({"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1024, "Mode": 0o700}})
    assert point.options == ("size=1024", "mode=700")
    point = mounts.parse_mount({"Type": "volume", "Target": "/v", "VolumeOptions": {"NoCopy": True}})
    assert point.anonymous and not point.copy
    for body, words in (
        ({"Type": "x", "Target": "/t"}, "mount type unknown"),
        ({"Type": "bind", "Target": "/t"}, "field Source must not be empty"),
        ({"Type": "bind", "Source": "/s"}, "field Target must not be empty"),
        ({"Type": "bind", "Source": "/s", "Target": "t"}, "mount path must be absolute"),
        ({"Type": "tmpfs", "Source": "/s", "Target": "/t"}, "field Source must not be specified"),
        ({"Type": "volume", "Source": "v", "Target": "/t", "VolumeOptions": {"Subpath": "../x"}}, "relative path"),
    ):
        with pytest.raises(Invalid, match=words):
            mounts.parse_mount(body)


def test_which_mount_wins() -> None:
    others = [MountPoint("volume", "/data", name="theirs"), MountPoint("volume", "/more", name="more")]
    found = mounts.collect(
        config(Volumes={"/data": {}, "/new": {}}),
        host(Binds=["mine:/data"], VolumesFrom=["other:ro"]),
        lambda _: others,
    )
    by_place = {point.destination: point for point in found}
    assert by_place["/data"].name == "mine"
    assert by_place["/more"].name == "more" and not by_place["/more"].rw
    assert by_place["/new"].anonymous
    with pytest.raises(Invalid, match="Duplicate mount point: /x"):
        mounts.collect(config(), host(Binds=["/a:/x", "/b:/x"]), lambda _: [])


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ('"kernel.core_pattern" is not in a separate kernel namespace', {"Sysctls": {"kernel.core_pattern": "|/x"}}),
        ('"kernel/panic" is not in a separate kernel namespace', {"Sysctls": {"kernel/panic": "1"}}),
        ('"vm.swappiness" is not in a separate', {"Sysctls": {"vm.swappiness": "1"}}),
        ('"fs.file-max" is not in a separate', {"Sysctls": {"fs.file-max": "1"}}),
        ('"kernel.hostname" is not in a separate', {"Sysctls": {"kernel.hostname": "x"}}),
        ('"" is not in a separate', {"Sysctls": {"": "x"}}),
        ("not allowed in host network", {"Sysctls": {"net/ipv4/ip_forward": "1"}, "NetworkMode": "host"}),
        ("not allowed in the hosts ipc", {"Sysctls": {"kernel.shmmax": "1"}, "IpcMode": "host"}),
        ("not allowed in the hosts uts", {"Sysctls": {"kernel.domainname": "x"}, "UTSMode": "host"}),
    ],
)
def test_kernel_parameters_of_the_whole_machine(words: str, given: dict[str, Any]) -> None:
    refuse(words, **given)


def test_kernel_parameters_of_ones_own() -> None:
    own = {"net.core.somaxconn": "1", "fs.mqueue.msg_max": "1", "kernel.sem": "1", "kernel.domainname": "x"}
    options.check(config(), host(Sysctls=own))


@pytest.mark.parametrize(
    ("words", "text"),
    [(r'invalid tmpfs option \["bogus" "1"\]', "size=1m,bogus=1"), ('invalid tmpfs option "loud"', "loud,ro")],
)
def test_what_a_tmpfs_does_not_know(words: str, text: str) -> None:
    with pytest.raises(Invalid, match=words):
        mounts.collect(config(), host(Tmpfs={"/t": text}), lambda _: ())
    mounts.collect(config(), host(Tmpfs={"/t": "size=1m,mode=700,uid=5,noexec,rw,nosuid,"}), lambda _: ())
