"""``info``, ``version`` and ``ping``: what this daemon is and what the machine can do.

Owns: the documents.  Numbers are counted when asked; what does not change is found once.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from corten import __version__
from corten.api.version import CURRENT, MINIMUM
from corten.engine.containers import logdriver
from corten.engine.containers.ground import Ground
from corten.engine.containers.status import Status
from corten.store.snapshots.drivers import SHOWN

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the composition root knows of this daemon."""

    id: str
    data_root: Path
    debug: bool = False
    labels: tuple[str, ...] = ()
    insecure_registries: tuple[str, ...] = ()
    registry_mirrors: tuple[str, ...] = ()
    log_driver: str = "json-file"
    default_address_pools: tuple[Mapping[str, Any], ...] = ()
    warnings: tuple[str, ...] = field(default_factory=tuple)


class System:
    """The daemon about itself."""

    def __init__(self, ground: Ground, facts: Facts, count_images: Callable[[], int]) -> None:
        self._ground = ground
        self._facts = facts
        self._count_images = count_images
        self._started = datetime.now(UTC)

    def reconfigure(self, facts: Facts) -> None:
        """Tell something else from here on: the configuration was read again."""
        self._facts = facts

    def version(self) -> dict[str, Any]:
        """GET /version"""
        machine = platform.machine()
        arch = _ARCHITECTURES.get(machine, machine)
        details = {
            "ApiVersion": str(CURRENT),
            "Arch": arch,
            "BuildTime": self._started.isoformat(),
            "Experimental": "false",
            "GitCommit": __version__,
            "KernelVersion": platform.release(),
            "MinAPIVersion": str(MINIMUM),
            "Os": "linux",
            "PythonVersion": platform.python_version(),
        }
        return {
            "Platform": {"Name": "Corten Engine"},
            "Components": [{"Name": "Engine", "Version": __version__, "Details": details}],
            "Version": __version__,
            "ApiVersion": str(CURRENT),
            "MinAPIVersion": str(MINIMUM),
            "GitCommit": __version__,
            "GoVersion": f"python{platform.python_version()}",
            "Os": "linux",
            "Arch": arch,
            "KernelVersion": platform.release(),
            "BuildTime": self._started.isoformat(),
        }

    def info(self) -> dict[str, Any]:
        """GET /info"""
        counts = dict.fromkeys(Status, 0)
        for live in self._ground.roster:
            counts[live.record.state.status] += 1
        running = counts[Status.RUNNING] + counts[Status.RESTARTING]
        return {
            "ID": self._facts.id,
            "Containers": sum(counts.values()),
            "ContainersRunning": running,
            "ContainersPaused": counts[Status.PAUSED],
            "ContainersStopped": sum(counts.values()) - running - counts[Status.PAUSED],
            "Images": self._count_images(),
            "Name": platform.node(),
            "ServerVersion": __version__,
            "SystemTime": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            **self._storage(),
            **_kernel(),
            **self._settings(),
        }

    def _storage(self) -> dict[str, Any]:
        return {
            "Driver": SHOWN.get(self._ground.snapshots.name, self._ground.snapshots.name),
            "DriverStatus": [
                ["Backing Filesystem", _filesystem(self._facts.data_root)],
                ["Native Overlay Diff", "true"],
            ],
            "DockerRootDir": str(self._facts.data_root),
            "Plugins": {
                "Volume": ["local"],
                "Network": ["bridge", "host", "null"],
                "Authorization": None,
                "Log": sorted(logdriver.DRIVERS),
            },
        }

    def _settings(self) -> dict[str, Any]:
        facts, runtimes = self._facts, self._ground.settings.defaults.runtimes
        indexes = {
            "docker.io": {
                "Name": "docker.io",
                "Mirrors": list(facts.registry_mirrors),
                "Secure": True,
                "Official": True,
            }
        }
        for name in facts.insecure_registries:
            if "/" not in name:
                indexes[name] = {"Name": name, "Mirrors": [], "Secure": False, "Official": False}
        return {
            "Debug": facts.debug,
            "NFd": len(os.listdir("/proc/self/fd")),
            "NGoroutines": len(sys._current_frames()) + len(asyncio.all_tasks()),
            "NEventsListener": 0,
            "LoggingDriver": facts.log_driver,
            "IndexServerAddress": "https://index.docker.io/v1/",
            "RegistryConfig": {
                "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"],
                "IndexConfigs": indexes,
                "Mirrors": list(facts.registry_mirrors),
            },
            "Labels": list(facts.labels),
            "ExperimentalBuild": False,
            "LiveRestoreEnabled": True,
            "Runtimes": runtimes.describe(),
            "DefaultRuntime": runtimes.default,
            "Swarm": {
                "NodeID": "",
                "NodeAddr": "",
                "LocalNodeState": "inactive",
                "ControlAvailable": False,
                "Error": "",
                "RemoteManagers": None,
            },
            "Isolation": "",
            "InitBinary": "corten-init",
            "ContainerdCommit": {"ID": "", "Expected": ""},
            "RuncCommit": {"ID": "", "Expected": ""},
            "InitCommit": {"ID": "", "Expected": ""},
            "SecurityOptions": ["name=seccomp,profile=builtin", *(["name=cgroupns"] if _has_cgroupns() else [])],
            "DefaultAddressPools": [
                {"Base": str(pool["base"]), "Size": int(pool["size"])} for pool in facts.default_address_pools
            ],
            "CDISpecDirs": [],
            "HttpProxy": os.environ.get("HTTP_PROXY", ""),
            "HttpsProxy": os.environ.get("HTTPS_PROXY", ""),
            "NoProxy": os.environ.get("NO_PROXY", ""),
            "Warnings": list(facts.warnings) or None,
        }


def _kernel() -> dict[str, Any]:
    is_unified = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    return {
        "MemoryLimit": True,
        "SwapLimit": is_unified or os.path.exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"),
        "KernelMemoryTCP": False,
        "CpuCfsPeriod": True,
        "CpuCfsQuota": True,
        "CPUShares": True,
        "CPUSet": True,
        "PidsLimit": True,
        "IPv4Forwarding": _reads_one("/proc/sys/net/ipv4/ip_forward"),
        "OomKillDisable": not is_unified,
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "2" if is_unified else "1",
        "KernelVersion": platform.release(),
        "OperatingSystem": _operating_system().get("PRETTY_NAME", "Linux"),
        "OSVersion": _operating_system().get("VERSION_ID", ""),
        "OSType": "linux",
        "Architecture": platform.machine(),
        "NCPU": os.cpu_count() or 1,
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


def _reads_one(path: str) -> bool:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip() == "1"
    except OSError:
        return False


def _operating_system() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _has_cgroupns() -> bool:
    return os.path.exists("/proc/self/ns/cgroup")


def _filesystem(path: Path) -> str:
    """The type of the file system that holds a path, from the table of mounts."""
    best, kind = "", "unknown"
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
        for line in file:
            _, point, fstype, *_ = line.split()
            if len(point) >= len(best) and (str(path) + "/").startswith(point.rstrip("/") + "/"):
                best, kind = point, fstype
    return "extfs" if kind.startswith("ext") else kind
