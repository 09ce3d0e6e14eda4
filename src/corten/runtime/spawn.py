"""The two forks of a container: init in new namespaces (by the creator), exec in joined ones (by the shim).

Owns what must be opened before the fork and what goes on just after; the child's own steps are in ``init.py`` and
``enter.py``.  Both give a ``Child`` whose channel ends at execve.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from corten.kernel import namespaces, process, wire
from corten.runtime import enter, idmapped, init, rootfs, seccomp_profile
from corten.runtime.bundle import Bundle
from corten.runtime.cgroup import Group
from corten.runtime.protocol import StepFailure
from corten.runtime.stdio import lend
from corten.spec.runtime import Process, Spec

SECCOMP_ANNOTATION = "corten.seccomp"
INIT_ANNOTATION = "corten.init"


@dataclass(slots=True)
class Child:
    """A forked process and the channel on which it reports until it executes."""

    pid: int
    pidfd: int
    channel: socket.socket | None


@dataclass(frozen=True, slots=True)
class Confinement:
    """What of a container's spec also holds for its execs; small enough for the shim to keep."""

    namespaces: tuple[str, ...]
    seccomp: Mapping[str, Any] | None
    unconfined: bool
    owner: int = 0  # the host's number of the container's root

    @classmethod
    def of(cls, spec: Spec) -> Confinement:
        """The part of a spec."""
        unconfined = spec.annotations.get(SECCOMP_ANNOTATION) == "unconfined"
        owner = idmapped.outside(spec.linux.uid_maps) if idmapped.has_own(spec) else 0
        return cls(tuple(spec.linux.namespaces), spec.linux.seccomp, unconfined, owner)

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Confinement:
        """The inverse of ``to_json``."""
        return cls(tuple(body["namespaces"]), body["seccomp"], bool(body["unconfined"]), int(body.get("owner") or 0))

    def to_json(self) -> dict[str, Any]:
        return {
            "namespaces": list(self.namespaces),
            "seccomp": self.seccomp,
            "unconfined": self.unconfined,
            "owner": self.owner,
        }

    def filter_program(self, wanted: Process) -> bytes | None:
        """The system call filter for one process of the container; None for unconfined."""
        bounding = wanted.capabilities.bounding if wanted.capabilities else ()
        if self.seccomp is not None:
            return seccomp_profile.program(self.seccomp, bounding)
        return None if self.unconfined else seccomp_profile.default_program(frozenset(bounding))


def spawn_init(bundle: Bundle, spec: Spec, group: Group, stdio: Sequence[int]) -> Child:
    """Fork init, as a child of our parent, into new namespaces and groups; it reports ``ready`` or ``failed``."""
    new, joined = 0, {}
    for kind, path in spec.linux.namespaces.items():
        if kind in ("mount", "user") and path:
            raise StepFailure("join namespaces", 22, f"joining a {kind} namespace is not possible")
        if path:
            joined[kind] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        elif kind != "cgroup":
            new |= namespaces.CLONE_FLAGS[kind]
    new |= namespaces.CLONE_FLAGS["mount"]
    # v2 wants the group before the process is born into it; in v1 init joins by itself, when it has got that far.
    early = group.version == 2
    if early:
        group.create(spec.linux.resources)
    clone_fd = group.clone_fd() if early else None
    wanted = plan(bundle, spec, group, stdio)
    wanted.namespace_fds, wanted.new_namespaces = joined, new
    if has_users := idmapped.has_own(spec):
        wanted.prepared = idmapped.prepare(spec, wanted.root_mounts, wanted.operations, bundle.rootfs)
        wanted.spec = idmapped.within(spec)
        lend(stdio, idmapped.outside(spec.linux.uid_maps), idmapped.outside(spec.linux.gid_maps))
    ours, theirs = wire.pair()
    pid_fd = joined.pop("pid", None)
    try:
        with contextlib.ExitStack() as stack:
            if pid_fd is not None:
                stack.enter_context(namespaces.visiting(pid_fd, "pid"))
            pid, pidfd = process.clone3(new, cgroup_fd=clone_fd, for_parent=True)
            if pid == 0:
                ours.close()
                init.main(wanted, theirs)
    finally:
        theirs.close()
        for fd in (*joined.values(), pid_fd, clone_fd):
            if fd is not None:
                os.close(fd)
    if has_users:
        idmapped.admit(spec, pid)
        with contextlib.suppress(BrokenPipeError):
            wire.send(ours, {"mapped": True})
    if not early:
        hand_groups(group, spec, ours)
    return Child(pid, pidfd, ours)


def plan(bundle: Bundle, spec: Spec, group: Group, stdio: Sequence[int]) -> init.Plan:
    """What init is to do once it is in its namespaces."""
    return init.Plan(
        spec=spec,
        root_mounts=bundle.root_mounts(),
        mount_point=bundle.rootfs,
        operations=rootfs.plan(spec, group.mounts()),
        joins_groups=group.version != 2,
        stdio=stdio,
        program=Confinement.of(spec).filter_program(spec.process),
        reap=spec.annotations.get(INIT_ANNOTATION) == "true",
    )


def hand_groups(group: Group, spec: Spec, channel: socket.socket) -> None:
    """Make the groups while init makes its root, and give it the files to join them by."""
    group.create(spec.linux.resources)
    fds = group.join_fds()
    with contextlib.suppress(BrokenPipeError):  # init has failed, and has said so
        wire.send(channel, {"groups": True}, fds)
    for fd in fds:
        os.close(fd)


def spawn_entrant(
    confinement: Confinement,
    init_pidfd: int,
    join_fds: Sequence[int],
    stdio: Sequence[int],
    rehearse: Callable[[], None] | None,
) -> Child:
    """Fork what will make a further process of a running container: the child that enter.py is about."""
    joined = {kind for kind in confinement.namespaces if kind != "time"} | {"mount"}
    plan = enter.Plan(joined, init_pidfd, join_fds, stdio, confinement.owner, confinement.filter_program, rehearse)
    ours, theirs = wire.pair()
    pid, pidfd = process.clone3(0)
    if pid == 0:
        ours.close()
        enter.main(plan, theirs)
    theirs.close()
    return Child(pid, pidfd, ours)
