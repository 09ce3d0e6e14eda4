"""Capabilities, seccomp, masked paths and no-new-privileges: Docker's defaults and what ``--security-opt`` changes.

Owns: the default lists and their lowering.  Pure.  The seccomp filter itself is compiled in ``runtime/``; here a
profile is chosen.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from corten.errors import Invalid

# docker: the fourteen capabilities of a container of which nobody says otherwise.
DEFAULT_CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)

ALL_CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in (
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
    )
)

MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_LABELLING = frozenset({"label", "apparmor"})


@dataclass(frozen=True, slots=True)
class Options:
    """``SecurityOpt`` as read."""

    seccomp: str = "default"
    no_new_privileges: bool = False
    systempaths_unconfined: bool = False
    writable_cgroups: bool = False

    def seccomp_profile(self) -> dict[str, Any] | None:
        """The profile that was handed in, None for ``default`` and ``unconfined``."""
        return None if self.seccomp in ("default", "unconfined") else dict(json.loads(self.seccomp))


def read(options: Iterable[str]) -> Options:
    """``SecurityOpt`` as a value; raises Invalid in dockerd's words."""
    values: dict[str, Any] = {}
    for option in options:
        # docker: `=` since 1.11, `:` before.
        key, separator, value = option.partition("=") if "=" in option else option.partition(":")
        match key, value:
            case "no-new-privileges", ("" | "true" | "false"):
                values["no_new_privileges"] = value != "false"
            case "systempaths", "unconfined":
                values["systempaths_unconfined"] = True
            case "writable-cgroups", ("true" | "false"):
                values["writable_cgroups"] = value == "true"
            case "seccomp", _ if separator:
                values["seccomp"] = _seccomp(value)
            case _ if not separator:
                raise Invalid(f'invalid --security-opt 1: "{option}"')
            case _ if key not in _LABELLING:
                raise Invalid(f'invalid --security-opt 2: "{option}"')
    return Options(**values)


def _seccomp(value: str) -> str:
    if value in ("unconfined", "builtin", "default"):
        return "default" if value == "builtin" else value
    try:
        profile = json.loads(value)
    except ValueError as error:
        raise Invalid(f"Decoding seccomp profile failed: {error}") from error
    if not isinstance(profile, dict) or "defaultAction" not in profile:
        raise Invalid("Decoding seccomp profile failed: no defaultAction")
    return value


def check(host: Mapping[str, Any]) -> None:
    """Raise Invalid for unknown capabilities and options."""
    read(host["SecurityOpt"] or ())
    capabilities(host)


def hidden_paths(host: Mapping[str, Any]) -> tuple[list[str] | None, list[str] | None]:
    """Masked and read-only paths: as given, else none if unconfined, else the defaults."""
    if host["Privileged"] or read(host["SecurityOpt"] or ()).systempaths_unconfined:
        return None, None
    masked, readonly = host["MaskedPaths"], host["ReadonlyPaths"]
    return (
        list(MASKED_PATHS) if masked is None else masked,
        list(READONLY_PATHS) if readonly is None else readonly,
    )


def capabilities(host: Mapping[str, Any]) -> list[str]:
    """The capabilities that the container's first process may have, in the order of their numbers."""
    added = _names("CapAdd", host["CapAdd"])
    dropped = _names("CapDrop", host["CapDrop"])
    if host["Privileged"]:
        return list(ALL_CAPABILITIES)
    base: set[str] = set(ALL_CAPABILITIES if "ALL" in added else DEFAULT_CAPABILITIES)
    if "ALL" in dropped:
        base = set(ALL_CAPABILITIES) if "ALL" in added else set()
    base |= added - {"ALL"}
    if "ALL" not in dropped:
        base -= dropped
    return [name for name in ALL_CAPABILITIES if name in base]


def _names(field: str, given: Iterable[str] | None) -> set[str]:
    names = set()
    for text in given or ():
        name = text.upper()
        if name != "ALL" and not name.startswith("CAP_"):
            name = f"CAP_{name}"
        if name != "ALL" and name not in ALL_CAPABILITIES:
            raise Invalid(f'invalid {field}: unknown capability: "{name}"')
        names.add(name)
    return names
