"""Small jobs inside a namespace that come back as a descriptor.  Each runs in its own fork of the zygote.

socket   netns (descriptor)  family kind_of_socket protocol bind? listen?    a socket of that network namespace
root     bundle              the root of a stopped container with its mounts, held as long as the reply socket is
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import NoReturn

from corten.kernel import flags, mounts, namespaces, wire
from corten.kernel.paths import Root
from corten.runtime import root_mount, rootfs
from corten.runtime.bundle import Bundle
from corten.runtime.mount_options import MountOptions
from corten.runtime.protocol import StepFailure


def main(message: wire.Message, reply: socket.socket) -> NoReturn:
    """Never returns."""
    kind = str(message.body.get("kind"))
    try:
        if kind == "socket":
            _socket(message, reply)
        elif kind == "root":
            _root(message, reply)
        else:
            raise StepFailure("errand", 38, f"no such errand: {kind!r}")
    except BaseException as failure:
        with contextlib.suppress(OSError):
            wire.send(reply, {"error": StepFailure.of(kind, failure).to_json()})
    os._exit(0)


def _socket(message: wire.Message, reply: socket.socket) -> None:
    body = message.body
    namespaces.setns(message.take(1), namespaces.CLONE_FLAGS["network"])
    with socket.socket(int(body["family"]), int(body["kind_of_socket"]), int(body.get("protocol") or 0)) as sock:
        if body.get("bind") is not None:
            sock.bind(tuple(body["bind"]))
        if body.get("listen") is not None:
            sock.listen(int(body["listen"]))
        wire.send(reply, {}, [sock.fileno()])


def _root(message: wire.Message, reply: socket.socket) -> None:
    """Mount a stopped container's root and binds in a namespace of our own, and stay until nobody wants it."""
    bundle = Bundle(str(message.body["bundle"]))
    os.makedirs(bundle.rootfs, exist_ok=True)
    spec = bundle.spec()
    namespaces.unshare(flags.CLONE_NEWNS)
    mounts.mount_setattr("/", propagation=flags.MS_SLAVE, recursive=True)
    site = rootfs.Site(Root(root_mount.attach(bundle.root_mounts(), bundle.rootfs)))
    for mount in spec.mounts:
        if mount.type == "bind" or MountOptions.parse(mount.options).bind:
            bind = rootfs.BindMount(mount)
            with contextlib.suppress(FileNotFoundError):
                bind.collect(site)
                bind.perform(site)
    wire.send(reply, {}, [site.root.fd])
    while wire.receive(reply) is not None:
        pass
