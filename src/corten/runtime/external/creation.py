"""A container's making by its runtime: `create`, the word to start, `start`; in a helper that then ends.

The helper is asked and answers as an init of our own is (spawn.py, init.py), so that creator and shim need not know the
difference.  The root file system is mounted in a mount namespace that holds nothing but the process that executes
`create`: the container's own namespace is a copy of it, and no other has ever seen the mounts.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from corten.kernel import capabilities, flags, mounts, namespaces, process, wire
from corten.kernel.paths import Root
from corten.runtime import root_mount, rootfs, users
from corten.runtime.bundle import Bundle
from corten.runtime.cgroup import Group
from corten.runtime.external import config
from corten.runtime.external.command import STEP, Runtime, forget, report
from corten.runtime.external.desk import Desk
from corten.runtime.mount_options import MountOptions
from corten.runtime.protocol import StepFailure
from corten.runtime.spawn import INIT_ANNOTATION, Child
from corten.spec.runtime import Mount, Spec

_EVERY_DEVICE: Mapping[str, Any] = {"devices": [{"allow": True, "type": "a"}]}


@dataclass(slots=True)
class Order:
    """What the creator has decided and opened."""

    bundle: Bundle
    runtime: Runtime
    body: Mapping[str, Any]  # config.json as the engine wrote it
    spec: Spec
    group: Group
    stdio: Sequence[int]  # three descriptors; none with a terminal
    lock_fd: int  # held as long as anything of this life is still to be done


def spawn(order: Order) -> tuple[Child, int]:
    """Have the container created; returns when it waits for start, with the channel on which it does.

    The helper is the shim's child, not ours; its pidfd comes second.
    """
    if "user" in order.spec.linux.namespaces:
        raise StepFailure(STEP, 38, "a user namespace of its own is for containers of Corten's own runtime only")
    if order.spec.annotations.get(INIT_ANNOTATION) == "true" and not order.runtime.init:
        raise StepFailure(STEP, 2, "--init: no docker-init, tini-static or catatonit is installed on the host")
    # The groups are ours to find; limits and devices are the runtime's to set.
    order.group.create(_EVERY_DEVICE)
    ours, theirs = wire.pair()
    pid, pidfd = process.clone3(0, for_parent=True)
    if pid == 0:
        ours.close()
        _main(order, theirs)
    theirs.close()
    message = wire.receive(ours)
    if message is None:
        raise StepFailure(STEP, 0, "the helper that runs the OCI runtime ended unexpectedly")
    if "failed" in message.body:
        raise StepFailure.parse(message.body["failed"])
    return Child(int(message.body["pid"]), message.take(), ours), pidfd


def _main(order: Order, channel: socket.socket) -> NoReturn:
    """In the helper."""
    try:
        os.setsid()
        process.set_name("corten-runtime")
        process.close_all_but({channel.fileno(), order.lock_fd, *order.stdio})
        _live(order, channel)
    except BaseException as failure:
        with contextlib.suppress(OSError):
            wire.send(channel, {"failed": report(failure).to_json()})
    os._exit(0)


def _live(order: Order, channel: socket.socket) -> None:
    runtime, container_id = order.runtime, order.bundle.id
    try:
        pid, pidfd, fds = _create(order)
        wire.send(channel, {"pid": pid}, [pidfd])
        wire.send(channel, {"ready": True}, fds)
    except BaseException:
        delete(runtime, container_id)
        raise
    for fd in (*fds, *order.stdio):
        os.close(fd)
    select.select([channel.fileno(), pidfd], [], [])
    if not select.select([channel], [], [], 0)[0] or wire.receive(channel) is None:
        delete(runtime, container_id)  # it was killed while it waited, or nobody will ever start it
        return
    try:
        runtime.call("start", container_id)
    except StepFailure as failure:
        wire.send(channel, {"failed": failure.to_json()})  # before init ends, so that its end has a reason
        delete(runtime, container_id)


def delete(runtime: Runtime, container_id: str) -> None:
    """Let the runtime forget a container, and kill what lives of it; if it cannot, forget it ourselves."""
    with contextlib.suppress(StepFailure, OSError):
        if os.path.lexists(runtime.state_of(container_id)):
            runtime.call("delete", "--force", container_id)
    forget(runtime.state_of(container_id))


def _create(order: Order) -> tuple[int, int, list[int]]:
    """Init's pid, its pidfd, and what an init of our own would report: root, network, netlink, terminal."""
    runtime, container_id = order.runtime, order.bundle.id
    os.makedirs(runtime.root, 0o700, exist_ok=True)
    delete(runtime, container_id)  # of a former life whose shim was killed
    with Desk(f"{order.bundle.path}/external", is_kept=True) as desk:
        words = ["create", "--bundle", desk.path, "--pid-file", desk.pid_file]
        if order.spec.process.terminal:
            words += ["--console-socket", desk.open_console()]
        runtime.call(*words, container_id, stdio=order.stdio, log=desk.log, prepare=lambda: _stage(order, desk))
        pid = desk.pid()
        fds = [os.open(f"/proc/{pid}/root", flags.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
        fds.append(namespaces.open_of(pid, "network"))
        with namespaces.visiting(fds[1], "network"):
            fds.append(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0).detach())
        if order.spec.process.terminal:
            fds.append(desk.take_terminal())
        return pid, os.pidfd_open(pid), fds


def _stage(order: Order, desk: Desk) -> None:
    """Where `create` is to run: a mount namespace with the root in it, and a config.json that says all."""
    spec, bundle = order.spec, order.bundle
    trees = {each.destination: rootfs.detached_tree(each) for each in spec.mounts if _is_ours_to_open(each)}
    namespaces.unshare(flags.CLONE_NEWNS)
    mounts.mount_setattr("/", propagation=flags.MS_SLAVE, recursive=True)
    with Root(root_mount.attach(bundle.root_mounts(), bundle.rootfs)) as root:
        if spec.annotations.get(rootfs.MTAB_ANNOTATION) == "true":
            rootfs.LinkMtab().perform(rootfs.Site(root))
        identity = users.identify(spec.process.user, root)
    place = config.Place(
        root=bundle.rootfs,
        cgroup=order.group.path,
        held=capabilities.of_process("self", "CapPrm") & capabilities.of_process("self", "CapBnd"),
        init=order.runtime.init,
        sources={destination: desk.attach(fd) for destination, fd in trees.items()},
        absent=frozenset(_absent(order.group)),
    )
    desk.write("config.json", config.complete(order.body, identity, place))


def _is_ours_to_open(mount: Mount) -> bool:
    """Copied while it is still a peer of the host's, or a part of a tree whose links a runtime would follow."""
    options = MountOptions.parse(mount.options)
    return bool(mount.subpath) or (options.bind and options.propagation == flags.MS_SHARED)


_OPTIONAL_FILES = (
    ("memory", "memory.memsw.limit_in_bytes"),
    ("blkio", "blkio.weight"),
    ("blkio", "blkio.bfq.weight"),
)


def _absent(group: Group) -> list[str]:
    """Control files of version 1 that a kernel may have been built without."""
    if group.version != 1:
        return []
    places = {name: directory for directory, names in group.mounts() for name in names.split(",")}
    return [file for name, file in _OPTIONAL_FILES if not os.path.exists(f"{places.get(name, '/')}/{file}")]
