"""A bundle's spec, made complete: what our own runtime takes as understood, another must be told.

Pure.  Left out are our extensions (users by name, annotations of ours) and what this machine cannot do; filled in are
numbers for names, the system call filter, the device rules that every container has, and where the root is mounted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from corten.kernel import capabilities
from corten.kernel.bpf import DeviceRule
from corten.runtime import become
from corten.runtime.cgroup import devices
from corten.runtime.external import filters
from corten.runtime.spawn import INIT_ANNOTATION, SECCOMP_ANNOTATION
from corten.runtime.users import Identity
from corten.spec.runtime import Process

VERSION = "1.0.2"
INIT_PATH = "/sbin/docker-init"
_OURS = "corten."
# Words that are Docker's or mount(8)'s, and that runtimes would hand to the file system as its own.
_IGNORED_WORDS = frozenset({"z", "Z", "nocopy", "copy", "consistent", "cached", "delegated"})
_SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the container comes to be."""

    root: str  # the mounted root file system
    cgroup: str
    held: int  # the capabilities that we have ourselves
    init: str = ""  # the host's small init, if one is asked for
    sources: Mapping[str, str] = field(default_factory=dict)  # destination: another path for what is bound there
    absent: frozenset[str] = frozenset()  # control files that this kernel does not have


def complete(body: Mapping[str, Any], identity: Identity, place: Place) -> dict[str, Any]:
    """The config.json that the runtime reads."""
    notes = body.get("annotations") or {}
    reaped = notes.get(INIT_ANNOTATION) == "true"
    found: dict[str, Any] = {
        "ociVersion": VERSION,
        "process": process(body["process"], identity, place.held, reaped=reaped),
        "root": {"path": place.root, "readonly": bool((body.get("root") or {}).get("readonly"))},
        "mounts": [_mount(each, place.sources) for each in body.get("mounts") or ()],
        "annotations": {name: text for name, text in notes.items() if not name.startswith(_OURS)},
        "linux": _linux(body, place),
    }
    if reaped:
        options = ["bind", "ro"]
        found["mounts"].append({"destination": INIT_PATH, "type": "bind", "source": place.init, "options": options})
    for name in ("hostname", "domainname"):
        if body.get(name):
            found[name] = body[name]
    return found


def process(body: Mapping[str, Any], identity: Identity, held: int, *, reaped: bool = False) -> dict[str, Any]:
    """OCI's ``process``, of a container or of an exec."""
    wanted = Process.parse(body)
    variables = become.environment(wanted, identity)
    user: dict[str, Any] = {"uid": identity.uid, "gid": identity.gid, "additionalGids": list(identity.groups)}
    if wanted.user.umask is not None:
        user["umask"] = wanted.user.umask
    env = [f"{name}={value}" for name, value in variables.items()]
    found = {**body, "user": user, "env": env, "cwd": wanted.cwd}
    if reaped:
        found["args"] = [INIT_PATH, "--", *wanted.args]
    if wanted.capabilities is not None:
        sets = {name: getattr(wanted.capabilities, name) for name in _SETS}
        found["capabilities"] = {name: _held(listed, held) for name, listed in sets.items() if listed}
    return {name: value for name, value in found.items() if value is not None}


def _held(names: Iterable[str], held: int) -> list[str]:
    """What the machine itself does not grant cannot be given; a runtime would fail over it."""
    return [name for name in names if capabilities.bit(name) & held]


def _mount(body: Mapping[str, Any], sources: Mapping[str, str]) -> dict[str, Any]:
    destination = str(body["destination"])
    options = [word for word in body.get("options") or () if word not in _IGNORED_WORDS]
    found = {**body, "source": sources.get(destination, body.get("source") or ""), "options": options}
    found.pop("subpath", None)  # our own word: what is at ``sources`` is it
    return found


def _linux(body: Mapping[str, Any], place: Place) -> dict[str, Any]:
    linux: Mapping[str, Any] = body.get("linux") or {}
    found = {**linux, "cgroupsPath": place.cgroup, "resources": resources(linux.get("resources") or {}, place.absent)}
    if body.get("domainname"):
        # Runtimes older than the field in the standard know this name for it; the others take both.
        found["sysctl"] = {"kernel.domainname": str(body["domainname"]), **(linux.get("sysctl") or {})}
    found.pop("seccomp", None)
    if (body.get("annotations") or {}).get(SECCOMP_ANNOTATION) != "unconfined" or linux.get("seccomp"):
        bounding = ((body["process"].get("capabilities") or {}).get("bounding")) or ()
        found["seccomp"] = filters.lower(linux.get("seccomp"), bounding)
    return {name: value for name, value in found.items() if value not in (None, "", [], {})}


def resources(asked: Mapping[str, Any], absent: frozenset[str]) -> dict[str, Any]:
    """``linux.resources`` with every device rule, and without limits that ours would pass over in silence."""
    found = {**asked, "devices": [_rule(each) for each in devices.rules(asked)]}
    if "memory.memsw.limit_in_bytes" in absent and (memory := found.get("memory")):
        found["memory"] = {name: value for name, value in memory.items() if name != "swap"}
    if {"blkio.weight", "blkio.bfq.weight"} <= absent and (block := found.get("blockIO")):
        found["blockIO"] = {name: value for name, value in block.items() if name not in ("weight", "weightDevice")}
    return found


def _rule(rule: DeviceRule) -> dict[str, Any]:
    found: dict[str, Any] = {"allow": rule.allow, "access": rule.access}
    if rule.kind != "a":
        found["type"] = rule.kind
    numbers = {"major": rule.major, "minor": rule.minor}
    return found | {name: number for name, number in numbers.items() if number is not None}
