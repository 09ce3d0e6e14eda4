"""A create request becomes a valid Config and HostConfig: image values merged in, defaults filled, nonsense refused.

Owns: dockerd's rules and words for each field but the resource limits (``resources.py``) and mounts (``mounts.py``).
Pure: the image's config and the daemon's defaults are handed in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from corten.api.types import fields
from corten.api.types.containers import CONFIG, HOST_CONFIG
from corten.engine.containers import logdriver, probes, resources, security, signals, sysctls, userids
from corten.engine.containers.runtimes import Runtimes
from corten.errors import Invalid, NotImplementedYet

_RESTART = frozenset({"no", "always", "on-failure", "unless-stopped"})
_PORT = re.compile(r"\d{1,5}(-\d{1,5})?(/(tcp|udp|sctp))?\Z", re.IGNORECASE)
_MILLISECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the daemon's configuration says for containers that do not."""

    log_driver: str = "json-file"
    log_opts: Mapping[str, str] = field(default_factory=dict)
    shm_size: int = 64 << 20
    ipc_mode: str = "private"
    cgroupns_mode: str = "private"
    userns_mode: str = ""
    ulimits: tuple[Mapping[str, Any], ...] = ()
    init: bool = False
    runtimes: Runtimes = field(default_factory=Runtimes)


def read_config(body: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, Any]:
    """The container's Config: what was asked for over what the image says; raises Invalid."""
    config = fields.read(body, CONFIG, "Config")
    base = fields.read(image, CONFIG, "Config")
    config["Env"] = _merge_env(config["Env"] or [], base["Env"] or [])
    if config["Entrypoint"] is None or config["Entrypoint"] == []:
        # docker: an entrypoint of the request hides the image's command; an empty string hides both.
        if config["Cmd"] is None:
            config["Cmd"] = base["Cmd"]
        config["Entrypoint"] = base["Entrypoint"]
    elif config["Entrypoint"] == [""]:
        config["Entrypoint"] = None
    for name in ("User", "WorkingDir", "StopSignal"):
        config[name] = config[name] or base[name]
    for name in ("StopTimeout", "Shell"):
        config[name] = config[name] if config[name] is not None else base[name]
    for name in ("ExposedPorts", "Volumes", "Labels"):
        merged = {**(base[name] or {}), **(config[name] or {})}
        config[name] = merged or config[name]
    config["Labels"] = config["Labels"] or {}
    config["Healthcheck"] = _merge_health(config["Healthcheck"], base["Healthcheck"])
    if config["StdinOnce"] and not config["OpenStdin"]:
        config["StdinOnce"] = False
    return config


def _merge_env(given: list[str], base: list[str]) -> list[str]:
    names = {item.partition("=")[0] for item in given}
    return [*given, *(item for item in base if item.partition("=")[0] not in names)]


def _merge_health(given: dict[str, Any] | None, base: dict[str, Any] | None) -> dict[str, Any] | None:
    if not given or not base:
        return given or base or None
    # docker: a request that only changes the intervals keeps the image's test.
    return {**base, **{name: value for name, value in given.items() if value}}


def read_host_config(body: Mapping[str, Any], defaults: Defaults) -> dict[str, Any]:
    """The container's HostConfig with the daemon's defaults; raises Invalid."""
    host = fields.read(body, HOST_CONFIG, "HostConfig")
    host["LogConfig"] = _log_config(host["LogConfig"], defaults)
    host["RestartPolicy"] = restart_policy(host["RestartPolicy"])
    host["NetworkMode"] = "bridge" if host["NetworkMode"] in ("", "default") else host["NetworkMode"]
    host["IpcMode"] = host["IpcMode"] or defaults.ipc_mode
    host["UsernsMode"] = host["UsernsMode"] or defaults.userns_mode
    host["CgroupnsMode"] = host["CgroupnsMode"] or ("host" if host["Privileged"] else defaults.cgroupns_mode)
    host["ShmSize"] = host["ShmSize"] or defaults.shm_size
    host["Runtime"] = defaults.runtimes.choose(host)
    host["PortBindings"] = port_bindings(host["PortBindings"])
    host["Ulimits"] = _ulimits(host["Ulimits"], defaults)
    if host["Init"] is None and defaults.init:
        host["Init"] = True
    if host["PidsLimit"] is not None and host["PidsLimit"] <= 0:
        host["PidsLimit"] = None
    if host["MemorySwappiness"] == -1:
        host["MemorySwappiness"] = None
    if host["Memory"] > 0 and host["MemorySwap"] == 0:
        host["MemorySwap"] = host["Memory"] * 2
    host["MaskedPaths"], host["ReadonlyPaths"] = security.hidden_paths(host)
    return host


def _log_config(given: Mapping[str, Any], defaults: Defaults) -> dict[str, Any]:
    kind = given.get("Type") or defaults.log_driver
    options = dict(defaults.log_opts) if kind == defaults.log_driver else {}
    options |= given.get("Config") or {}
    logdriver.check(kind, options)
    return {"Type": kind, "Config": options}


def restart_policy(given: Mapping[str, Any]) -> dict[str, Any]:
    name, retries = given.get("Name") or "no", given.get("MaximumRetryCount") or 0
    if name not in _RESTART:
        raise Invalid(
            f"invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', 'on-failure', or "
            "'unless-stopped'"
        )
    if retries < 0:
        raise Invalid("invalid restart policy: maximum retry count cannot be negative")
    if retries and name != "on-failure":
        raise Invalid("invalid restart policy: maximum retry count can only be used with 'on-failure'")
    return {"Name": name, "MaximumRetryCount": retries}


def port_bindings(given: Mapping[str, Any]) -> dict[str, Any]:
    """PortBindings as records keep them; raises Invalid."""
    bindings: dict[str, Any] = {}
    for port, hosts in given.items():
        if not _PORT.match(port):
            raise Invalid(f'invalid port specification: "{port}"')
        key = port if "/" in port else f"{port}/tcp"
        bindings[key] = [
            {"HostIp": str(item.get("HostIp") or ""), "HostPort": str(item.get("HostPort") or "")}
            for item in (hosts or [{}])
        ]
        for item in bindings[key]:
            if item["HostPort"] and not re.fullmatch(r"\d{1,5}(-\d{1,5})?", item["HostPort"]):
                raise Invalid(f'invalid port specification: "{item["HostPort"]}"')
    return bindings


def _ulimits(given: list[dict[str, Any]], defaults: Defaults) -> list[dict[str, Any]]:
    named = {item.get("Name"): item for item in given}
    for item in given:
        soft, hard = item.get("Soft", 0), item.get("Hard", 0)
        if hard != -1 and (soft > hard or soft == -1):
            raise Invalid(f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")
    return [*given, *(dict(item) for item in defaults.ulimits if item["Name"] not in named)]


def check(config: Mapping[str, Any], host: Mapping[str, Any]) -> list[str]:
    """Raise Invalid for what contradicts itself; returns warnings."""
    _check_config(config)
    _check_health(config["Healthcheck"] or {})
    _check_modes(config, host)
    _check_host(host)
    resources.check(host)
    security.check(host)
    sysctls.check(host)
    warnings = []
    if host["OomKillDisable"] and not host["Memory"]:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system "
            "running out of resources."
        )
    if host["PublishAllPorts"] is False and host["PortBindings"] and host["NetworkMode"] == "host":
        warnings.append("Published ports are discarded when using host network mode")
    return warnings


def check_given(config: Mapping[str, Any], host: Mapping[str, Any]) -> None:
    """What contradicts only if it was asked for, and not if the image says it; raises Invalid."""
    if host["NetworkMode"].startswith("container:") and config.get("ExposedPorts"):
        raise Invalid("conflicting options: port exposing and the container type network mode")


def _check_config(config: Mapping[str, Any]) -> None:
    if not [*(config["Entrypoint"] or ()), *(config["Cmd"] or ())]:
        raise Invalid("no command specified")
    directory = config["WorkingDir"]
    if directory and not directory.startswith("/"):
        raise Invalid(f"the working directory '{directory}' is invalid, it needs to be an absolute path")
    for item in config["Env"] or ():
        if not item or item.startswith("="):
            raise Invalid(f"invalid environment variable: {item}")
    if config["StopSignal"]:
        signals.number(config["StopSignal"])
    for port in config["ExposedPorts"] or ():
        if not _PORT.match(port):
            raise Invalid(f'invalid port specification: "{port}"')
    if len(config["Hostname"]) > 64 or not re.fullmatch(r"[\w.-]*", config["Hostname"]):
        raise Invalid(f"invalid hostname format: {config['Hostname']}")


def _check_health(health: Mapping[str, Any]) -> None:
    for name in ("Interval", "Timeout", "StartPeriod", "StartInterval"):
        if 0 < (value := health.get(name) or 0) < _MILLISECOND or value < 0:
            raise Invalid(f"{name} in Healthcheck cannot be less than 1ms")
    if (health.get("Retries") or 0) < 0:
        raise Invalid("Retries in Healthcheck cannot be negative")
    test = health.get("Test") or ["NONE"]
    if test[0] in probes.KINDS:
        probes.check(test[0], test[1:])
    elif test[0] not in ("NONE", "CMD", "CMD-SHELL", ""):
        raise Invalid(
            f"Unknown healthcheck type '{test[0]}' (expected 'CMD', 'CMD-SHELL', 'HTTP', 'TCP', 'FILE' or 'NONE')"
        )


_ONE_OF = {
    "IpcMode": ("", "none", "private", "shareable", "host"),
    "PidMode": ("", "host"),
    "UTSMode": ("", "host"),
    "CgroupnsMode": ("", "private", "host"),
    "UsernsMode": ("", "host", "auto"),
}
_MODE_WORDS = {
    "IpcMode": "IPC mode",
    "PidMode": "PID mode",
    "UTSMode": "UTS mode",
    "CgroupnsMode": "cgroup namespace mode",
    "UsernsMode": "userns mode",
}


def _check_modes(config: Mapping[str, Any], host: Mapping[str, Any]) -> None:
    for name, allowed in _ONE_OF.items():
        mode = host[name]
        shares = name in ("IpcMode", "PidMode") and mode.startswith("container:") and len(mode) > len("container:")
        if mode not in allowed and not shares:
            raise Invalid(f"invalid {_MODE_WORDS[name]}: {mode}")
    userids.check(host)
    if host["UTSMode"] == "host" and config["Hostname"]:
        raise Invalid("conflicting options: hostname and the UTS mode")
    mode = host["NetworkMode"]
    if mode.startswith("container:"):
        if mode == "container:":
            raise Invalid("Invalid network mode: invalid container format container:<name|id>")
        _check_shared_network(config, host)
    elif mode == "host" and host["Links"]:
        raise Invalid(
            "conflicting options: host type networking can't be used with links. This would result in undefined "
            "behavior"
        )


def _check_shared_network(config: Mapping[str, Any], host: Mapping[str, Any]) -> None:
    conflicts = (
        (config["Hostname"], "hostname and the network mode"),
        (host["Links"], "container type network can't be used with links. This would result in undefined behavior"),
        (host["Dns"], "dns and the network mode"),
        (host["ExtraHosts"], "custom host-to-IP mapping and the network mode"),
        (config["MacAddress"], "mac-address and the network mode"),
        (host["PortBindings"] or host["PublishAllPorts"], "port publishing and the container type network mode"),
    )
    for given, words in conflicts:
        if given:
            raise Invalid(f"conflicting options: {words}")


def _check_host(host: Mapping[str, Any]) -> None:
    if host["AutoRemove"] and host["RestartPolicy"]["Name"] != "no":
        raise Invalid("can't create 'AutoRemove' container with restart policy")
    if host["ShmSize"] < 0:
        raise Invalid("SHM size can not be less than 0")
    if not -1000 <= host["OomScoreAdj"] <= 1000:
        raise Invalid(f"Invalid value {host['OomScoreAdj']}, range for oom score adj is [-1000, 1000]")
    if host["Isolation"] not in ("", "default"):
        raise Invalid(f"invalid isolation '{host['Isolation']}' on linux")
    for item in host["ExtraHosts"] or ():
        _check_extra_host(item)
    _check_devices(host["Devices"])
    for wish in host["DeviceRequests"] or ():
        capabilities = str(wish.get("Capabilities") or []).replace("'", "").replace(",", "")
        raise NotImplementedYet(
            f'could not select device driver "{wish.get("Driver") or ""}" with capabilities: {capabilities}: there are '
            "no drivers for GPUs and CDI devices; name the device nodes by --device"
        )


def _check_extra_host(item: str) -> None:
    name, colon, address = item.partition(":")
    if not (name and colon and address):
        raise Invalid(f"bad format for add-host: {item!r}")


def _check_devices(devices: Iterable[Mapping[str, Any]]) -> None:
    for device in devices:
        access = device.get("CgroupPermissions") or ""
        if not set(access) <= set("rwm") or len(set(access)) != len(access):
            raise Invalid(f"bad mode specified: {access}")
        if not str(device.get("PathOnHost") or ""):
            raise Invalid("device path on host cannot be empty")
