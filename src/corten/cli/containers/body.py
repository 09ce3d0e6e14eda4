"""The body of POST /containers/create from the flags of ``create`` and ``run``.

Owns: which flag becomes which field.  Each grammar is in a file of its own beside this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from corten.cli import values
from corten.cli.containers import env, limits, mounts, network, ports, restart
from corten.errors import Invalid, NotImplementedYet

if TYPE_CHECKING:
    from corten.cli.flags import Options

# flag -> field of HostConfig
_TEXTS = {
    "cgroup-parent": "CgroupParent",
    "cgroupns": "CgroupnsMode",
    "cidfile": "ContainerIDFile",
    "cpuset-cpus": "CpusetCpus",
    "cpuset-mems": "CpusetMems",
    "ipc": "IpcMode",
    "isolation": "Isolation",
    "pid": "PidMode",
    "runtime": "Runtime",
    "userns": "UsernsMode",
    "uts": "UTSMode",
    "volume-driver": "VolumeDriver",
}
_NUMBERS = {
    "blkio-weight": "BlkioWeight",
    "cpu-count": "CpuCount",
    "cpu-percent": "CpuPercent",
    "cpu-period": "CpuPeriod",
    "cpu-quota": "CpuQuota",
    "cpu-rt-period": "CpuRealtimePeriod",
    "cpu-rt-runtime": "CpuRealtimeRuntime",
    "cpu-shares": "CpuShares",
    "io-maxiops": "IOMaximumIOps",
    "memory-swappiness": "MemorySwappiness",
    "oom-score-adj": "OomScoreAdj",
    "pids-limit": "PidsLimit",
}
_SIZES = {
    "io-maxbandwidth": "IOMaximumBandwidth",
    "kernel-memory": "KernelMemory",
    "memory": "Memory",
    "memory-reservation": "MemoryReservation",
    "memory-swap": "MemorySwap",
    "shm-size": "ShmSize",
}
_SWITCHES = {
    "init": "Init",
    "oom-kill-disable": "OomKillDisable",
    "privileged": "Privileged",
    "publish-all": "PublishAllPorts",
    "read-only": "ReadonlyRootfs",
    "rm": "AutoRemove",
}
_LISTS = {
    "cap-add": "CapAdd",
    "cap-drop": "CapDrop",
    "device-cgroup-rule": "DeviceCgroupRules",
    "dns": "Dns",
    "dns-option": "DnsOptions",
    "dns-search": "DnsSearch",
    "group-add": "GroupAdd",
    "link": "Links",
    "volumes-from": "VolumesFrom",
}
_PAIRS = {"annotation": "Annotations", "storage-opt": "StorageOpt", "sysctl": "Sysctls"}


def build(options: Options, image: str, command: list[str]) -> dict[str, Any]:
    """The whole body; raises Invalid."""
    _refuse_conflicts(options)
    binds, anonymous = mounts.binds_and_volumes(options.many("volume"))
    published = ports.bindings(options.many("publish"))
    mode, endpoints = network.mode_and_endpoints(options)
    body = process(options, image, command)
    body["ExposedPorts"] = ports.exposed(options.many("expose"), published)
    body["Volumes"] = anonymous
    body["HostConfig"] = {
        **host(options),
        "Binds": binds,
        "PortBindings": published,
        "NetworkMode": mode,
    }
    body["NetworkingConfig"] = {"EndpointsConfig": endpoints}
    return body


def _refuse_conflicts(options: Options) -> None:
    if options.on("rm") and options.text("restart") not in ("", "no"):
        raise Invalid("conflicting options: cannot specify both --restart and --rm")
    if options.many("gpus"):
        raise NotImplementedYet("could not select device driver: Corten does not pass GPUs to containers")
    if options.on("use-api-socket"):
        raise NotImplementedYet("--use-api-socket is not served; mount the daemon's socket with -v")
    if options.given("memory-swappiness") and not -1 <= options.number("memory-swappiness") <= 100:
        raise Invalid(f"invalid value: {options.number('memory-swappiness')}. Valid memory swappiness range is 0-100")
    for word in options.many("attach"):
        if word.lower() not in ("stdin", "stdout", "stderr"):
            raise Invalid("valid streams are STDIN, STDOUT and STDERR")


def process(options: Options, image: str, command: list[str]) -> dict[str, Any]:
    """Config: what runs, as whom, with which streams."""
    attached = {word.lower() for word in options.many("attach")}
    attach_stdin = "stdin" in attached or options.on("interactive")
    body: dict[str, Any] = {
        "Image": image,
        "Hostname": options.text("hostname"),
        "Domainname": options.text("domainname"),
        "User": options.text("user"),
        "WorkingDir": options.text("workdir"),
        "Tty": options.on("tty"),
        "OpenStdin": options.on("interactive"),
        "StdinOnce": options.on("interactive") and attach_stdin,
        "AttachStdin": attach_stdin,
        "AttachStdout": "stdout" in attached or not attached,
        "AttachStderr": "stderr" in attached or not attached,
        "Env": env.variables(options.many("env"), options.many("env-file")),
        "Labels": env.labels(options.many("label"), options.many("label-file")),
        "Cmd": command or None,
        "Entrypoint": [options.text("entrypoint")] if options.given("entrypoint") else None,
    }
    if options.given("stop-signal"):
        body["StopSignal"] = options.text("stop-signal")
    if options.given("stop-timeout"):
        body["StopTimeout"] = options.number("stop-timeout")
    if options.given("mac-address"):
        body["MacAddress"] = options.text("mac-address")
    if (check := limits.health(options)) is not None:
        body["Healthcheck"] = check
    if remedy := options.text("health-on-failure"):
        if remedy not in ("none", "restart", "stop", "kill"):
            raise Invalid(f"invalid --health-on-failure: {remedy!r}; use one of none, restart, stop, kill")
        body["Labels"] = {**body["Labels"], "corten.health-on-failure": remedy}
    return body


def host(options: Options) -> dict[str, Any]:
    """HostConfig, without what mounts and networks add."""
    found: dict[str, Any] = {field: options.text(flag) for flag, field in _TEXTS.items() if options.text(flag)}
    found |= {field: options.number(flag) for flag, field in _NUMBERS.items() if options.given(flag)}
    found |= {field: options.size(flag) for flag, field in _SIZES.items() if options.given(flag)}
    found |= {field: options.on(flag) for flag, field in _SWITCHES.items() if options.given(flag)}
    found |= {field: options.many(flag) for flag, field in _LISTS.items() if options.many(flag)}
    found |= {field: values.pairs(options.many(flag)) for flag, field in _PAIRS.items() if options.many(flag)}
    if options.given("cpus"):
        found["NanoCpus"] = values.parse_cpus(options.text("cpus"))
    found["RestartPolicy"] = restart.parse(options.text("restart"))
    found["LogConfig"] = {
        "Type": options.text("log-driver"),
        "Config": values.pairs(options.many("log-opt")),
    }
    if options.text("log-driver") == "none" and options.many("log-opt"):
        raise Invalid("invalid logging opts for driver none")
    found["ExtraHosts"] = network.extra_hosts(options.many("add-host"))
    found["Tmpfs"] = mounts.tmpfs(options.many("tmpfs"))
    found["Mounts"] = [mounts.parse(word) for word in options.many("mount")]
    found["Devices"] = [limits.device(word) for word in options.many("device")]
    found["Ulimits"] = limits.ulimits(options.many("ulimit"))
    found["BlkioWeightDevice"] = limits.weights(options.many("blkio-weight-device"))
    for way in ("Read", "Write"):
        for unit in ("Bps", "IOps"):
            words = options.many(f"device-{way.lower()}-{unit.lower()}")
            found[f"BlkioDevice{way}{unit}"] = limits.rates(words, sizes=unit == "Bps")
    found["SecurityOpt"], open_paths = limits.security(options.many("security-opt"))
    if open_paths:
        found["MaskedPaths"], found["ReadonlyPaths"] = [], []
    return {field: value for field, value in found.items() if value not in ([], {}) or field.endswith("Paths")}
