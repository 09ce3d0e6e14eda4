"""What ``cortend`` was told: dockerd's flags and ``daemon.json``, merged into one frozen value.

Owns: the flags, the file, which wins, and the refusal of what makes no sense.  Starts nothing, opens nothing but the
configuration file.  Flags that name the same thing as the file conflict, as dockerd has it, except lists, which add.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from corten import __version__
from corten.api import times
from corten.daemon import dockerd_flags
from corten.engine.containers import runtimes
from corten.errors import Invalid

DEFAULT_HOST = "unix:///run/corten/corten.sock"
DEFAULT_CONFIG = Path("/etc/corten/daemon.json")


@dataclass(frozen=True, slots=True)
class Config:
    """One daemon's configuration."""

    hosts: tuple[str, ...] = (DEFAULT_HOST,)
    data_root: Path = Path("/var/lib/corten")
    exec_root: Path = Path("/run/corten")
    pidfile: Path | None = Path("/run/corten/cortend.pid")
    group: str = ""
    debug: bool = False
    log_level: str = "info"
    labels: tuple[str, ...] = ()
    bridge: str = "corten0"
    bip: str | None = None
    mtu: int = 1500
    ip: str = "0.0.0.0"
    ipv6: bool = False
    fixed_cidr: str = ""
    icc: bool = True
    userland_proxy: bool = True
    host_firewall: bool = False  # published traffic goes through the host's INPUT rules (ufw, firewalld), by proxy
    default_address_pools: tuple[Mapping[str, Any], ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_opts: tuple[str, ...] = ()
    host_gateway_ip: str = ""
    insecure_registries: tuple[str, ...] = ()
    registry_mirrors: tuple[str, ...] = ()
    storage_driver: str = ""
    disk_budget: int = 0  # bytes that images, layers, cache, logs and dead containers may take; 0: no limit
    disk_free_floor: int = 0  # bytes that shall be free
    disk_young: float = 600.0  # what was used so recently is never removed for the budget
    log_driver: str = "json-file"
    log_opts: Mapping[str, str] = field(default_factory=dict)
    default_ulimits: Mapping[str, Any] = field(default_factory=dict)
    default_shm_size: int = 64 << 20
    default_ipc_mode: str = "private"
    default_cgroupns_mode: str = ""
    userns_default: str = "host"
    cgroup_parent: str = "/corten"
    init: bool = False
    runtimes: Mapping[str, Any] = field(default_factory=dict)
    default_runtime: str = ""
    seccomp_profile: str = ""
    watch_interval: float = 300.0
    watch_grace: float = 10.0
    watch_listen: str = ""
    watch_token_file: Path | None = None
    registry_config: Path | None = None
    shutdown_timeout: int = 15
    live_restore: bool = True
    max_concurrent_downloads: int = 3
    max_concurrent_uploads: int = 5
    tls: bool = False
    tls_verify: bool = False
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""

    def evolve(self, **changed: Any) -> Config:
        """The same but for what is given."""
        return replace(self, **changed)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cortend", description="The Corten engine.", argument_default=None)
    add = parser.add_argument
    add("-v", "--version", action="version", version=f"Corten version {__version__}")
    add("-H", "--host", dest="hosts", action="append", metavar="URL", help="where to listen: unix://, tcp://, fd://")
    add("--config-file", type=Path, metavar="FILE", help=f"configuration file (default {DEFAULT_CONFIG})")
    add("--validate", action="store_true", help="check the configuration and exit")
    add("--data-root", "-g", "--graph", dest="data_root", type=Path, metavar="DIR")
    add("--exec-root", type=Path, metavar="DIR")
    add("-p", "--pidfile", type=Path, metavar="FILE")
    add("-G", "--group", help="group of the unix socket")
    add("-D", "--debug", action="store_true", default=None)
    add("-l", "--log-level", choices=("debug", "info", "warn", "error", "fatal"))
    add("--label", dest="labels", action="append", metavar="KEY=VALUE")
    _network_arguments(parser)
    _container_arguments(parser)
    add("--insecure-registry", dest="insecure_registries", action="append", metavar="HOST")
    add("--registry-mirror", dest="registry_mirrors", action="append", metavar="URL")
    add("--registry-config", type=Path, metavar="FILE", help="docker config.json with the daemon's own credentials")
    _watch_arguments(parser)
    _storage_arguments(parser)
    add("--shutdown-timeout", type=int, metavar="SECONDS")
    add("--live-restore", action="store_true", default=None, help="always so: containers outlive the daemon")
    add("--max-concurrent-downloads", type=int)
    add("--max-concurrent-uploads", type=int)
    add("--tls", action="store_true", default=None)
    add("--tlsverify", dest="tls_verify", action="store_true", default=None)
    add("--tlscacert", dest="tls_ca", metavar="FILE")
    add("--tlscert", dest="tls_cert", metavar="FILE")
    add("--tlskey", dest="tls_key", metavar="FILE")
    for name, is_switch in dockerd_flags.names():
        if is_switch:
            add(f"--{name}", dest=f"dockerd {name}", nargs="?", const="true", help=argparse.SUPPRESS)
        else:
            add(f"--{name}", dest=f"dockerd {name}", action="append", help=argparse.SUPPRESS)
    return parser


def _network_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-b", "--bridge", help="name of the default bridge")
    add("--bip", metavar="CIDR", help="address of the default bridge")
    add("--mtu", type=int)
    add("--ip", help="default host address of published ports")
    add("--ipv6", action=argparse.BooleanOptionalAction)
    add("--fixed-cidr", metavar="CIDR")
    add("--icc", type=_boolean, nargs="?", const=True)
    add("--host-firewall", type=_boolean, nargs="?", const=True)
    add("--userland-proxy", type=_boolean, nargs="?", const=True)
    add("--default-address-pool", dest="default_address_pools", action="append", type=_pool, metavar="base=…,size=…")
    add("--dns", action="append")
    add("--dns-search", action="append")
    add("--dns-opt", dest="dns_opts", action="append")
    add("--host-gateway-ip")


def _storage_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-s", "--storage-driver")
    add("--disk-budget", type=size, metavar="SIZE", help="what images, cache, logs and dead containers may take")
    add("--disk-free-floor", type=size, metavar="SIZE", help="what shall be free; the least recently used goes first")
    add("--disk-young", type=seconds, metavar="DURATION", help="what was used so recently stays (default 10m)")


def _watch_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--watch-interval", type=seconds, metavar="DURATION", help="how often followed tags are looked at; 0: never")
    add("--watch-grace", type=seconds, metavar="DURATION", help="how long a container without health check must run")
    add("--watch-listen", metavar="HOST:PORT", help="where registries' webhooks are taken, and nothing else")
    add("--watch-token-file", type=Path, metavar="FILE", help="the token that webhooks must bear")


def _container_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--log-driver")
    add("--log-opt", dest="log_opts", action="append", metavar="KEY=VALUE")
    add("--default-ulimit", dest="default_ulimits", action="append", metavar="NAME=SOFT:HARD")
    add("--default-shm-size", type=size)
    add("--default-ipc-mode", choices=("private", "shareable"))
    add("--default-cgroupns-mode", choices=("private", "host"))
    add("--userns-default", choices=("host", "auto"), help="user namespaces of containers that name no mode")
    add("--cgroup-parent")
    add("--init", action="store_true", default=None)
    add("--seccomp-profile", metavar="FILE")
    add("--add-runtime", dest="runtimes", action="append", metavar="NAME=PATH", help="register an OCI runtime")
    add("--default-runtime", metavar="NAME", help="the runtime of containers that name none (default corten)")


# Where daemon.json spells a setting otherwise than the field does.
_FILE_NAMES = {
    "default-ulimits": "default_ulimits",
    "insecure-registries": "insecure_registries",
    "registry-mirrors": "registry_mirrors",
    "dns-opts": "dns_opts",
    "log-opts": "log_opts",
    "tlsverify": "tls_verify",
    "tlscacert": "tls_ca",
    "tlscert": "tls_cert",
    "tlskey": "tls_key",
    "graph": "data_root",
}
_LISTS = frozenset({"labels", "dns", "dns_search", "dns_opts", "insecure_registries", "registry_mirrors"})
_PATHS = frozenset({"data_root", "exec_root", "pidfile", "watch_token_file", "registry_config"})
_DURATIONS = frozenset({"watch_interval", "watch_grace", "disk_young"})
_SIZES = frozenset({"default_shm_size", "disk_budget", "disk_free_floor"})


def parse(arguments: Sequence[str]) -> tuple[Config, bool]:
    """The configuration, and whether only its validity was asked for; raises Invalid."""
    given = vars(_arguments().parse_args(arguments))
    validate = bool(given.pop("validate"))
    explicit: Path | None = given.pop("config_file")
    for name, value in {name: given.pop(name) for name in list(given) if name.startswith("dockerd ")}.items():
        if value is not None:
            dockerd_flags.check(name.removeprefix("dockerd "), value)
    flags = {name: _flag_value(name, value) for name, value in given.items() if value is not None}
    return merge(flags, read_file(explicit or DEFAULT_CONFIG, required=explicit is not None)), validate


def merge(flags: Mapping[str, Any], file: Mapping[str, Any]) -> Config:
    """Flags and file as one; raises Invalid where both set the same thing."""
    settings = dict(file)
    for name, value in flags.items():
        if name in _LISTS:
            settings[name] = (*settings.get(name, ()), *value)
        elif name in settings and settings[name] != value:
            raise Invalid(
                "unable to configure the Docker daemon with file: the following directives are specified both as a "
                f"flag and in the configuration file: {name.replace('_', '-')}: (from flag: {value}, from file: "
                f"{settings[name]})"
            )
        else:
            settings[name] = value
    runtimes.configured(settings.get("runtimes", {}), settings.get("default_runtime", ""))
    if settings.get("bridge") == "none":
        raise Invalid("running without a default bridge (--bridge=none) is not supported yet")
    if settings.get("watch_listen") and not settings.get("watch_token_file"):
        raise Invalid(
            "watch-listen needs watch-token-file: whoever reaches the address could ask for looks without end"
        )
    return Config(**settings)


def read_file(path: Path, *, required: bool) -> dict[str, Any]:
    """The settings of a ``daemon.json``; raises Invalid on unknown names and wrong kinds."""
    try:
        body = json.loads(path.read_bytes() or b"{}")
    except FileNotFoundError:
        if required:
            raise Invalid(f"unable to configure the Docker daemon with file {path}: no such file") from None
        return {}
    except ValueError as error:
        raise Invalid(f"unable to configure the Docker daemon with file {path}: {error}") from error
    if not isinstance(body, dict):
        raise Invalid(f"unable to configure the Docker daemon with file {path}: not an object")
    known = {item.name for item in fields(Config)}
    settings: dict[str, Any] = {}
    for key, value in body.items():
        name = _FILE_NAMES.get(key, key.replace("-", "_"))
        if name not in known and dockerd_flags.is_known(key.removesuffix("s") if key == "exec-opts" else key):
            dockerd_flags.check(key.removesuffix("s") if key == "exec-opts" else key, value)
            continue
        if name not in known:
            raise Invalid(
                f"unable to configure the Docker daemon with file {path}: the following directives don't match any "
                f"configuration option: {key}"
            )
        settings[name] = _file_value(name, key, value)
    return settings


def _file_value(name: str, key: str, value: Any) -> Any:
    if name in _PATHS:
        return Path(str(value))
    if name in _DURATIONS:
        return seconds(str(value))
    default = getattr(Config(), name)
    if isinstance(default, tuple):
        if not isinstance(value, list):
            raise Invalid(f"{key} in the configuration file must be a list")
        return tuple(value)
    if name in _SIZES:
        return size(str(value))
    if isinstance(default, bool | int | Mapping) and not isinstance(value, type(default)):
        raise Invalid(f"{key} in the configuration file must be a {type(default).__name__}")
    return value


def _flag_value(name: str, value: Any) -> Any:
    if name == "log_opts":
        return dict(item.partition("=")[::2] for item in value)
    if name == "runtimes":
        return runtimes.parse_flags(value)
    if name == "default_ulimits":
        return dict(_ulimit(item) for item in value)
    return tuple(value) if isinstance(value, list) else value


def _ulimit(text: str) -> tuple[str, dict[str, Any]]:
    name, _, limits = text.partition("=")
    soft, _, hard = limits.partition(":")
    try:
        return name, {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)}
    except ValueError:
        raise Invalid(f"invalid ulimit argument: {text}") from None


def _boolean(text: str) -> bool:
    return text.lower() in ("1", "t", "true", "yes")


def _pool(text: str) -> dict[str, Any]:
    pairs = dict(item.partition("=")[::2] for item in text.split(","))
    try:
        return {"base": pairs["base"], "size": int(pairs["size"])}
    except (KeyError, ValueError):
        raise argparse.ArgumentTypeError(f"invalid address pool: {text}") from None


def seconds(text: str) -> float:
    """``5m``, ``1h30m``, or a number of seconds; raises Invalid."""
    found = float(text) if text.replace(".", "", 1).isdecimal() else times.duration(text)
    if found < 0:
        raise Invalid(f"invalid duration: {text!r} is less than nothing")
    return found


def size(text: str) -> int:
    """``64m`` as bytes, with Docker's binary units; raises Invalid."""
    units = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
    number = text.lower().removesuffix("ib").removesuffix("b") or text.lower()
    unit = number[-1:] if number[-1:].isalpha() else ""
    try:
        return int(float(number.removesuffix(unit)) * units[unit])
    except (ValueError, KeyError):
        raise Invalid(f"invalid size: '{text}'") from None
