"""User namespaces: which range of the host's ids a container's users are, and how files look through it.

Owns: the pool, who has which range, and acting as a container's root on its files.  A range is 65536 ids and is the
container's as long as its record exists.  What the kernel does with it is in ``runtime/idmapped.py``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Set
from typing import Any

from corten.errors import Conflict, Invalid
from corten.kernel import capabilities

SIZE = 1 << 16
# Between the ranges that systemd gives to its containers and to foreign images: nobody else hands these out.
FIRST, LAST = 0x7000_0000, 0x7FFE_0000
_OVERFLOW = 65534


def allocate(container_id: str, taken: Set[int]) -> int:
    """The first id of a free range.  Begins at a place of the container's own, so that two daemons rarely meet."""
    count = (LAST - FIRST) // SIZE
    start = int(container_id[:8], 16) % count
    for offset in range(count):
        base = FIRST + (start + offset) % count * SIZE
        if base not in taken:
            return base
    raise Conflict(f"all {count} ranges of user ids are in use: remove containers, or use --userns=host")


def mappings(base: int) -> dict[str, Any]:
    """The range as the OCI spec tells it."""
    rows = [{"containerID": 0, "hostID": base, "size": SIZE}]
    return {"uidMappings": rows, "gidMappings": rows}


def inside(host_id: int, base: int) -> int:
    """A file's owner as the container sees it."""
    if not base:
        return host_id
    return host_id - base if base <= host_id < base + SIZE else _OVERFLOW


def outside(container_id: int, base: int) -> int:
    """The inverse; raises Invalid for what has no place in the range."""
    if base and not 0 <= container_id < SIZE:
        raise Invalid(f"user id {container_id} is outside the container's range of {SIZE}")
    return container_id + base


@contextlib.contextmanager
def acting(base: int) -> Iterator[None]:
    """Make files as the container's root, in this thread: our own root has no number inside."""
    if not base:
        yield
        return
    with capabilities.files_as(base, base):
        yield


def check(host: Mapping[str, Any]) -> None:
    """Raise Invalid, in dockerd's words, for what a user namespace cannot share with the host or others."""
    if host["UsernsMode"] != "auto":
        return
    if host["Privileged"]:
        raise Invalid(
            "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace "
            "when running privileged mode"
        )
    for field, words in (("NetworkMode", "network"), ("PidMode", "PID"), ("IpcMode", "IPC"), ("UTSMode", "UTS")):
        mode = str(host[field])
        if mode == "host":
            raise Invalid(f"cannot share the host's {words} namespace when user namespaces are enabled")
        if mode.startswith("container:"):
            raise Invalid(
                f"cannot share another container's {words} namespace with user namespaces enabled: use --userns=host"
            )
    if host["IpcMode"] == "shareable":
        raise Invalid("a shareable IPC namespace is not possible when user namespaces are enabled: use --userns=host")


def is_possible() -> bool:
    """Whether this kernel makes user namespaces at all."""
    with contextlib.suppress(OSError, ValueError), open("/proc/sys/user/max_user_namespaces", encoding="ascii") as file:
        return int(file.read()) > 0 and os.path.exists("/proc/self/ns/user")
    return False
