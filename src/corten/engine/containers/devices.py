"""Device nodes of a container and the rules of its device control group.

Owns: Docker's default rules, ``--device``, ``--device-cgroup-rule``, and what a privileged container sees of the
host's /dev.  Looks at the host's device nodes; makes none.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from typing import Any

from corten.engine.containers.resources import device_rule
from corten.errors import Invalid

# Beneath /dev, what is a container's own whatever the host has there.
_OWN = frozenset({"pts", "shm", "mqueue", "fd", "stdin", "stdout", "stderr", "console", "ptmx", "core", "full", "null"})

# docker: /dev/{null,zero,full,tty,urandom,random}, consoles, terminals; making any node (not using it) is harmless.
_DEFAULT_RULES: tuple[dict[str, Any], ...] = (
    {"allow": False, "access": "rwm"},
    {"allow": True, "type": "c", "access": "m"},
    {"allow": True, "type": "b", "access": "m"},
    *(
        {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}
        for major, minor in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2))
    ),
    {"allow": True, "type": "c", "major": 136, "access": "rwm"},
)


def rules(host: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Who may use which device, in order; the last that fits wins."""
    if host["Privileged"]:
        return [{"allow": True, "access": "rwm"}]
    found = [dict(rule) for rule in _DEFAULT_RULES]
    for node, access in _asked(host):
        found.append(
            {"allow": True, "type": node["type"], "major": node["major"], "minor": node["minor"], "access": access}
        )
    found.extend(device_rule(text) for text in host["DeviceCgroupRules"] or ())
    return found


def nodes(host: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The nodes that the container gets besides the standard ones."""
    found = {node["path"]: node for node in _all("/dev", "/dev")} if host["Privileged"] else {}
    for node, _ in _asked(host):
        found[node["path"]] = node
    return list(found.values())


def _asked(host: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    for item in host["Devices"] or ():
        source = str(item["PathOnHost"])
        target = str(item.get("PathInContainer") or source)
        access = str(item.get("CgroupPermissions") or "rwm")
        try:
            is_directory = os.path.isdir(source)
            found = list(_all(source, target)) if is_directory else [_node(os.path.realpath(source), target)]
        except OSError as error:
            raise _missing(source, error) from error
        if not found or found[0] is None:
            raise Invalid(
                f'error gathering device information while adding custom device "{source}": not a device node'
            )
        for node in found:
            if node is not None:
                yield node, access


def _missing(source: str, error: OSError) -> Invalid:
    words = "no such file or directory" if isinstance(error, FileNotFoundError) else str(error.strerror).lower()
    return Invalid(f'error gathering device information while adding custom device "{source}": {words}')


def _node(source: str, target: str) -> dict[str, Any] | None:
    found = os.stat(source)
    kind = "c" if stat.S_ISCHR(found.st_mode) else "b" if stat.S_ISBLK(found.st_mode) else ""
    if not kind:
        return None
    return {
        "path": target,
        "type": kind,
        "major": os.major(found.st_rdev),
        "minor": os.minor(found.st_rdev),
        "fileMode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
    }


def _all(source: str, target: str) -> Iterator[dict[str, Any]]:
    with os.scandir(source) as entries:
        for entry in sorted(entries, key=lambda item: item.name):
            inside = f"{target}/{entry.name}"
            if entry.is_symlink() or (source == "/dev" and entry.name in _OWN):
                continue
            if entry.is_dir():
                yield from _all(entry.path, inside)
            elif node := _node(entry.path, inside):
                yield node
