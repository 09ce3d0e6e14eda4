"""From a spec to the tree a container sees: a list of operations (pure), each performed one by one.

``plan`` decides; an operation only does.  Every path inside goes through kernel/paths.Root, so that an image's symbolic
links cannot lead an operation out of the root.  Operations that need the host's tree (binds) first ``collect`` what
they need, before mount propagation from the host is cut.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from corten.kernel import flags, mounts
from corten.kernel.paths import Root
from corten.runtime.mount_options import MountOptions
from corten.spec.runtime import Device, Mount, Spec


@dataclass(slots=True)
class Site:
    """What operations share while they are performed."""

    root: Root
    trees: dict[Mount, int] = field(default_factory=dict)  # detached copies of bind sources
    empty_fd: int = -1  # a read-only empty tmpfs that is already mounted somewhere


class Operation(Protocol):
    """One change to the new root."""

    def describe(self) -> str:
        """For people: ``bind /a at /b (ro)``."""

    def perform(self, site: Site) -> None:
        """Do it."""


def _attach(site: Site, fd: int, destination: str, *, directory: bool) -> None:
    target_fd = os.dup(site.root.fd) if destination.strip("/") == "" else -1
    if target_fd < 0:
        target_fd = site.root.mkdirs(destination) if directory else site.root.ensure_file(destination)
    try:
        mounts.move_mount(fd, target_fd)
    finally:
        os.close(target_fd)


def detached_tree(mount: Mount) -> int:
    """A detached copy of what a bind shows.

    A subpath is looked up beneath its source and mounted by descriptor: whoever writes there may swap links meanwhile.
    """
    recursive = MountOptions.parse(mount.options).recursive
    if not mount.subpath:
        return mounts.open_tree(mount.source, recursive=recursive)
    with Root.at(mount.source) as source:
        fd = source.open(mount.subpath, flags.O_PATH)
    try:
        return mounts.open_tree("", dir_fd=fd, recursive=recursive)
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True)
class MountFileSystem:
    """Mount a new proc, sysfs, tmpfs, devpts, mqueue, …"""

    mount: Mount

    def describe(self) -> str:
        return f"mount {self.mount.type} at {self.mount.destination} ({','.join(self.mount.options)})"

    def perform(self, site: Site) -> None:
        options = MountOptions.parse(self.mount.options)
        fd = mounts.detached(
            self.mount.type, options.data, source=self.mount.source or self.mount.type, attributes=options.attr_set
        )
        try:
            _attach(site, fd, self.mount.destination, directory=True)
            if options.propagation:
                mounts.mount_setattr(fd, propagation=options.propagation)
        finally:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class BindMount:
    """Show a host path inside the root."""

    mount: Mount

    def describe(self) -> str:
        return f"bind {self.mount.source} at {self.mount.destination} ({','.join(self.mount.options)})"

    def collect(self, site: Site) -> None:
        """Copy the source's mount while it is still a peer of the host's."""
        site.trees[self.mount] = detached_tree(self.mount)

    def perform(self, site: Site) -> None:
        options = MountOptions.parse(self.mount.options)
        fd = site.trees.pop(self.mount)
        try:
            if options.attr_set or options.attr_clr:
                mounts.mount_setattr(fd, attr_set=options.attr_set, attr_clr=options.attr_clr)
            if options.tree_set or options.tree_clr:
                mounts.mount_setattr(fd, attr_set=options.tree_set, attr_clr=options.tree_clr, recursive=True)
            # Without a word the mount is private, as runtimes have it.
            propagation = options.propagation or flags.MS_PRIVATE
            recursive = options.propagation_recursive or not options.propagation
            if propagation != flags.MS_SHARED:
                mounts.mount_setattr(fd, propagation=propagation, recursive=recursive)
            _attach(site, fd, self.mount.destination, directory=stat.S_ISDIR(os.fstat(fd).st_mode))
            if propagation == flags.MS_SHARED:
                mounts.mount_setattr(fd, propagation=propagation, recursive=recursive)
        finally:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class MountCgroups:
    """Show the container's own control groups beneath /sys/fs/cgroup."""

    destination: str
    options: tuple[str, ...]
    groups: tuple[tuple[str, str], ...]

    def describe(self) -> str:
        return f"show {len(self.groups)} control group hierarchies at {self.destination}"

    def perform(self, site: Site) -> None:
        options = MountOptions.parse(self.options)
        attributes = options.attr_set
        if self.groups and not self.groups[0][1]:
            target_fd = site.root.mkdirs(self.destination)
            try:
                self._bind(self.groups[0][0], target_fd, "", attributes)
            finally:
                os.close(target_fd)
            return
        fd = mounts.detached("tmpfs", (("mode", "755"), ("size", "64k")), source="tmpfs", attributes=attributes & ~1)
        try:
            _attach(site, fd, self.destination, directory=True)
            # The tmpfs is new and ours alone: its names need no looking up beneath the root.
            for directory, name in self.groups:
                os.mkdir(name, 0o755, dir_fd=fd)
                self._bind(directory, fd, name, attributes)
                for part in name.split(",") if "," in name else ():
                    os.symlink(name, part, dir_fd=fd)
            if attributes & flags.MOUNT_ATTR_RDONLY:
                mounts.mount_setattr(fd, attr_set=flags.MOUNT_ATTR_RDONLY)
        finally:
            os.close(fd)

    def _bind(self, source: str, target_fd: int, name: str, attributes: int) -> None:
        fd = mounts.open_tree(source)
        try:
            mounts.mount_setattr(fd, attr_set=attributes, propagation=flags.MS_PRIVATE)
            mounts.move_mount_at(fd, target_fd, name)
        finally:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class MakeDevice:
    """A device node; where none may be made (a user namespace) the host's is bound."""

    device: Device

    def describe(self) -> str:
        return f"node {self.device.path} {self.device.type} {self.device.major}:{self.device.minor}"

    def perform(self, site: Site) -> None:
        device = self.device
        kind = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}[device.type]
        try:
            parent_fd, name = site.root.open_parent(device.path)
        except FileNotFoundError:
            os.close(site.root.mkdirs(os.path.dirname(device.path)))
            parent_fd, name = site.root.open_parent(device.path)
        try:
            os.mknod(name, kind | device.mode & 0o7777, os.makedev(device.major, device.minor), dir_fd=parent_fd)
            if device.uid or device.gid:
                os.chown(name, device.uid, device.gid, dir_fd=parent_fd, follow_symlinks=False)
        except FileExistsError:
            pass
        except PermissionError:
            fd = mounts.open_tree(device.path)
            try:
                _attach(site, fd, device.path, directory=False)
            finally:
                os.close(fd)
        finally:
            os.close(parent_fd)


@dataclass(frozen=True, slots=True)
class FillDev:
    """The nodes and links that every /dev has.  What is there already stays."""

    devices: tuple[Device, ...]
    links: tuple[tuple[str, str], ...]

    def describe(self) -> str:
        return f"make the usual {len(self.devices)} nodes and {len(self.links)} links in /dev"

    def perform(self, site: Site) -> None:
        dev_fd = site.root.mkdirs("/dev")
        try:
            for device in self.devices:
                number = os.makedev(device.major, device.minor)
                try:
                    os.mknod(device.path[len("/dev/") :], stat.S_IFCHR | device.mode, number, dir_fd=dev_fd)
                except FileExistsError:
                    pass
                except PermissionError:
                    MakeDevice(device).perform(site)
            for name, target in self.links:
                with contextlib.suppress(FileExistsError):
                    os.symlink(target, name, dir_fd=dev_fd)
        finally:
            os.close(dev_fd)


@dataclass(frozen=True, slots=True)
class MaskPath:
    """Hide a path: a file behind /dev/null, a directory behind an empty read-only one.  Missing ones are hidden."""

    path: str

    def describe(self) -> str:
        return f"mask {self.path}"

    def perform(self, site: Site) -> None:
        _cover(site, self.path, lambda target_fd: self._mask(site, target_fd))

    def _mask(self, site: Site, target_fd: int) -> int:
        if not stat.S_ISDIR(os.fstat(target_fd).st_mode):
            # The host's /dev/null: the container's own could be a link by now.
            return mounts.open_tree("/dev/null")
        if site.empty_fd >= 0:
            return mounts.open_tree("", dir_fd=site.empty_fd)
        options = (("size", "0"), ("nr_inodes", "1"), ("mode", "755"))
        fd = mounts.detached("tmpfs", options, source="tmpfs", attributes=flags.MOUNT_ATTR_RDONLY)
        site.empty_fd = os.dup(fd)
        return fd


@dataclass(frozen=True, slots=True)
class ProtectPath:
    """Make a path read-only, with all that is mounted beneath it."""

    path: str

    def describe(self) -> str:
        return f"protect {self.path}"

    def perform(self, site: Site) -> None:
        _cover(site, self.path, self._protect)

    def _protect(self, target_fd: int) -> int:
        fd = mounts.open_tree("", dir_fd=target_fd, recursive=True)
        try:
            mounts.mount_setattr(fd, attr_set=flags.MOUNT_ATTR_RDONLY, recursive=True)
        except OSError:
            os.close(fd)
            raise
        return fd


def _cover(site: Site, path: str, made_for: Callable[[int], int]) -> None:
    """Mount over a path what ``made_for`` makes for a descriptor of it; nothing to do where there is none."""
    try:
        target_fd = site.root.open(path, flags.O_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        fd = made_for(target_fd)
        try:
            mounts.move_mount(fd, target_fd)
        finally:
            os.close(fd)
    finally:
        os.close(target_fd)


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """The working directory, where the image has none.  That it cannot be made shows when it is entered."""

    path: str

    def describe(self) -> str:
        return f"make {self.path}"

    def perform(self, site: Site) -> None:
        with contextlib.suppress(OSError):
            os.close(site.root.mkdirs(self.path))


@dataclass(frozen=True, slots=True)
class LinkMtab:
    """/etc/mtab, where the image has none: old programs read it, and docker gives them one."""

    def describe(self) -> str:
        return "link /etc/mtab to /proc/mounts"

    def perform(self, site: Site) -> None:
        with contextlib.suppress(FileExistsError, NotADirectoryError):
            try:
                site.root.symlink("/proc/mounts", "/etc/mtab")
            except FileNotFoundError:
                os.close(site.root.mkdirs("/etc"))
                site.root.symlink("/proc/mounts", "/etc/mtab")


@dataclass(frozen=True, slots=True)
class ProtectRoot:
    """Make the root itself read-only; what is mounted on it stays as it is."""

    def describe(self) -> str:
        return "protect /"

    def perform(self, site: Site) -> None:
        mounts.mount_setattr(site.root.fd, attr_set=flags.MOUNT_ATTR_RDONLY)


MTAB_ANNOTATION = "corten.mtab"
DEFAULT_DEVICES = (
    Device("/dev/null", "c", 1, 3),
    Device("/dev/zero", "c", 1, 5),
    Device("/dev/full", "c", 1, 7),
    Device("/dev/random", "c", 1, 8),
    Device("/dev/urandom", "c", 1, 9),
    Device("/dev/tty", "c", 5, 0),
)
_DEV_LINKS = (
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
)


def plan(spec: Spec, groups: Sequence[tuple[str, str]]) -> list[Operation]:
    """Everything between an attached root and pivot_root, in order."""
    operations: list[Operation] = []
    if spec.annotations.get(MTAB_ANNOTATION) == "true":
        operations.append(LinkMtab())  # before the mounts: what the user mounts on /etc stays as it is
    own_dev = True
    late: list[Operation] = []
    for mount in spec.mounts:
        options = MountOptions.parse(mount.options)
        if mount.type in ("cgroup", "cgroup2"):
            operations.append(MountCgroups(mount.destination, mount.options, tuple(groups)))
        elif mount.type == "bind" or options.bind:
            operations.append(BindMount(mount))
            own_dev = own_dev and mount.destination.rstrip("/") != "/dev"
        elif mount.destination.rstrip("/") == "/dev" and options.attr_set & flags.MOUNT_ATTR_RDONLY:
            # Nodes must be made first.
            writable = tuple(word for word in mount.options if word != "ro")
            operations.append(MountFileSystem(Mount("/dev", mount.type, mount.source, writable)))
            late.append(ProtectPath("/dev"))
        else:
            operations.append(MountFileSystem(mount))
    if own_dev:
        operations.append(FillDev(DEFAULT_DEVICES, _DEV_LINKS))
        operations += [MakeDevice(device) for device in spec.linux.devices]
    operations.append(MakeDirectory(spec.process.cwd))
    operations += late
    operations += [ProtectPath(path) for path in spec.linux.readonly_paths]
    operations += [MaskPath(path) for path in spec.linux.masked_paths]
    if spec.root_readonly:
        operations.append(ProtectRoot())
    return operations
