"""A container's tree as the daemon may look at it: through the running task's root, or a mount that nobody else sees.

Owns: detached mounts of snapshots and the choice between the two.  Every path goes through ``kernel.paths.Root``.
Nothing here is mounted in the host's tree, but the memory that ``--ipc=shareable`` containers share.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Live
from corten.engine.containers.model import MountPoint
from corten.errors import NotFound
from corten.kernel import flags, mounts, overlay
from corten.kernel.paths import Root, split
from corten.store.snapshots.base import Mount


@contextlib.contextmanager
def detached(root: Iterable[Mount]) -> Iterator[Root]:
    """The tree of a root file system.  Closing it unmounts, which may sync: use it in a thread."""
    (mount,) = root  # the drivers stack nothing themselves
    tree = Root(_mount(mount))
    with tree:
        yield tree


def _mount(mount: Mount) -> int:
    if mount.type == "bind":
        return mounts.open_tree(mount.source, recursive="rbind" in mount.options)
    options: list[tuple[str, str | None]] = []
    attributes = 0
    for word in mount.options:
        key, equals, value = word.partition("=")
        if key == "ro":
            attributes |= flags.MOUNT_ATTR_RDONLY
        elif key != "rw":
            options.append((key, value if equals else None))
    if mount.type == "overlay":
        return overlay.detached(options, attributes=attributes)
    return mounts.detached(mount.type, options, source=mount.source, attributes=attributes)


@contextlib.contextmanager
def whole(ground: Ground, live: Live) -> Iterator[Root]:
    """A container's root, running or not; of a stopped one without its volumes."""
    if live.task is not None and live.record.is_running:
        with Root(live.task.root_fd()) as root:
            yield root
        return
    with detached(ground.snapshots.mounts(live.record.id)) as root:
        yield root


@contextlib.contextmanager
def at(ground: Ground, live: Live, path: str) -> Iterator[tuple[Root, str]]:
    """The tree that holds ``path`` and the path inside it: a stopped container's volumes are trees of their own."""
    point = None if live.record.is_running else mount_point(live.record.mounts, path)
    if point is None:
        with whole(ground, live) as root:
            yield root, path
        return
    rest = _clean(path).removeprefix(point.destination) or "/"
    try:
        tree, inside = _mounted(ground, point, rest)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"Could not find the file {path} in container {live.record.id}") from None
    with tree:
        yield tree, inside


def _mounted(ground: Ground, point: MountPoint, rest: str) -> tuple[Root, str]:
    """A volume or bind as a tree, and where ``rest`` is in it; of a single file the tree is its directory."""
    source = point.source if point.type == "bind" else str(ground.volumes.get(point.name).mountpoint)
    if not point.subpath:
        if os.path.isdir(source):
            return Root.at(source), rest
        directory, name = os.path.split(source)
        return Root.at(directory), f"/{name}"
    with Root.at(source) as volume:  # its links are the containers' that write there
        if stat.S_ISDIR(volume.stat(point.subpath).st_mode):
            return volume.subtree(point.subpath), rest
        directory, name = split(volume.realpath(point.subpath))
        return volume.subtree(directory), f"/{name}"


def mount_point(points: Iterable[MountPoint], path: str) -> MountPoint | None:
    """The volume or bind that a path leads into, the nearest."""
    clean = _clean(path)
    found = [
        point
        for point in points
        if point.type in ("volume", "bind") and (clean + "/").startswith(point.destination + "/")
    ]
    return max(found, key=lambda point: len(point.destination), default=None)


def _clean(path: str) -> str:
    # Two slashes at the beginning are kept by normpath, as POSIX has it.
    return os.path.normpath("/" + path.lstrip("/"))


def mount_shm(path: Path, size: int) -> None:
    """A memory file system for several containers' /dev/shm."""
    if not os.path.ismount(path):
        attributes = flags.MS_NOSUID | flags.MS_NODEV | flags.MS_NOEXEC
        mounts.mount("shm", str(path), "tmpfs", attributes, f"mode=1777,size={size}")


def unmount(path: Path) -> None:
    """Detach a mount; harmless if there is none."""
    with contextlib.suppress(OSError):
        mounts.umount2(str(path), flags.MNT_DETACH)
