"""The root file system of a bundle (rootfs.json) as one detached mount.

Owns the reading of overlay options and the order of stacking.  Nothing is attached here: the descriptor is the mount,
and it ends with the last process that holds it or the mount namespace it is moved into.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence

from corten.kernel import mounts, overlay
from corten.runtime.mount_options import MountOptions
from corten.spec.runtime import Mount


def open_mount(mount: Mount) -> int:
    """One mount of rootfs.json, detached."""
    options = MountOptions.parse(mount.options)
    if mount.type == "overlay":
        return _overlay(options)
    if mount.type == "bind" or options.bind:
        tree_fd = mounts.open_tree(mount.source, recursive=options.recursive)
        if options.attr_set or options.attr_clr:
            mounts.mount_setattr(tree_fd, attr_set=options.attr_set, attr_clr=options.attr_clr)
        return tree_fd
    return mounts.detached(mount.type, options.data, source=mount.source, attributes=options.attr_set)


def _overlay(options: MountOptions) -> int:
    given = dict(options.data)
    if "volatile" in given and (work := given.get("workdir")):
        # The mark of a volatile mount that was not synchronised forbids another mount.  Who asks for "volatile" has
        # said that a crash of the machine may cost the data; a second start of the container is no crash.
        _forget_volatile(f"{work}/work/incompat")
    return overlay.detached(options.data, attributes=options.attr_set)


def _forget_volatile(incompat: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{incompat}/volatile/dirty")
        os.rmdir(f"{incompat}/volatile")
        os.rmdir(incompat)


def attach(stack: Sequence[Mount], where: str) -> int:
    """Attach the whole stack at a host directory of the current mount namespace; an O_PATH descriptor of the root."""
    root_fd = -1
    for mount in stack:
        fd = open_mount(mount)
        try:
            if root_fd < 0 or mount.destination in ("", "/"):
                mounts.move_mount(fd, where)
                if root_fd >= 0:
                    os.close(root_fd)
                root_fd, fd = fd, -1
            else:
                mounts.move_mount(fd, os.path.join(where, mount.destination.lstrip("/")))
        finally:
            if fd >= 0:
                os.close(fd)
    if root_fd < 0:
        raise OSError(errno.ENOENT, "the bundle has no root file system", where)
    return root_fd
