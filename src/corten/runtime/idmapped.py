"""What a container with a user namespace of its own needs done by the host's root, before and beside its init.

A container's range of ids is where its processes live; on disk nothing is shifted.  Layers, the writable layer and
binds are shown through id-mapped mounts, so that 0 on disk is the container's root, and the overlay is made by a
process whose file-system uid is that root, so that what it copies up is 0 on disk again.  One image serves every
range, without a chown, and commit, diff and export find ids as they find any other container's.

Init is born into the user namespace and can map nothing itself: ``prepare`` collects the detached trees before it is
forked, ``admit`` gives it its maps, limits and score from outside.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Sequence
from dataclasses import dataclass, replace

from corten.kernel import capabilities, flags, mounts, namespaces, overlay
from corten.kernel.paths import Root
from corten.runtime import rootfs
from corten.runtime.mount_options import MountOptions
from corten.runtime.protocol import StepFailure
from corten.spec.runtime import IdMap, Mount, Process, Spec

Row = tuple[int, int, int]
_STAGES = ("/tmp", "/mnt", "/run", "/var")


def has_own(spec: Spec) -> bool:
    """Whether the container gets a new user namespace."""
    return spec.linux.namespaces.get("user") == ""


def rows(maps: Sequence[IdMap]) -> list[Row]:
    """As the kernel wants them."""
    return [(each.inside, each.outside, each.size) for each in maps]


def outside(maps: Sequence[IdMap]) -> int:
    """The host's number of the container's root."""
    for each in maps:
        if each.inside == 0:
            return each.outside
    raise StepFailure("map users", errno.EINVAL, "map users: the user namespace has no user 0")


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that init finds open: the root's tree, and those of the binds."""

    root_fd: int
    site: rootfs.Site


def prepare(spec: Spec, root: Sequence[Mount], operations: Sequence[rootfs.Operation], scratch: str) -> Prepared:
    """Open every tree with its ids mapped.  Leaves the caller in a mount namespace of its own."""
    uids, gids = rows(spec.linux.uid_maps), rows(spec.linux.gid_maps)
    userns_fd = namespaces.mapped_user(uids, gids)
    site = rootfs.Site(Root(-1))
    try:
        for operation in operations:
            if isinstance(operation, rootfs.BindMount):
                operation.collect(site)
                tree_fd, options = site.trees[operation.mount], MountOptions.parse(operation.mount.options)
                _map(tree_fd, userns_fd, operation.mount.source, recursive=options.recursive)
        namespaces.unshare(flags.CLONE_NEWNS)
        mounts.mount_setattr("/", propagation=flags.MS_SLAVE, recursive=True)
        if len(root) != 1:
            raise StepFailure("mount root", errno.EINVAL, "mount root: a stack of mounts cannot be shifted")
        root_fd = _root(root[0], userns_fd, scratch, outside(spec.linux.uid_maps), outside(spec.linux.gid_maps))
        return Prepared(root_fd, site)
    finally:
        os.close(userns_fd)


def _map(tree_fd: int, userns_fd: int, what: str, *, recursive: bool = False) -> None:
    try:
        mounts.mount_setattr(tree_fd, userns_fd=userns_fd, recursive=recursive)
    except OSError as failure:
        if failure.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        words = f"map the ids of {what}: the kernel or the file system has no id-mapped mounts; use --userns=host"
        raise StepFailure("map ids", failure.errno or 0, words) from None


def _root(mount: Mount, userns_fd: int, scratch: str, uid: int, gid: int) -> int:
    options = MountOptions.parse(mount.options)
    if mount.type != "overlay":
        tree_fd = mounts.open_tree(mount.source, recursive=False)
        _map(tree_fd, userns_fd, "the root file system")
        if options.attr_set or options.attr_clr:
            mounts.mount_setattr(tree_fd, attr_set=options.attr_set, attr_clr=options.attr_clr)
        return tree_fd
    stage_fd = mounts.detached("tmpfs", (("mode", "755"), ("size", "64k")), source="tmpfs")
    mounts.move_mount(stage_fd, scratch)
    os.close(stage_fd)
    settings: list[tuple[str, str | None]] = []
    for key, value in options.data:
        if key == "lowerdir" and value:
            shown = [_show(path, userns_fd, scratch) for path in overlay.lower_directories(value)]
            settings.append((key, ":".join(shown)))
        elif key not in ("upperdir", "workdir"):
            settings.append((key, value))
    given = dict(options.data)
    if upper := given.get("upperdir"):
        # Both must be on one mount: their common parent is shown.
        work = given.get("workdir") or ""
        parent = os.path.commonpath([upper, work])
        shown_parent = _show(parent, userns_fd, scratch)
        settings.append(("upperdir", f"{shown_parent}/{os.path.relpath(upper, parent)}"))
        settings.append(("workdir", f"{shown_parent}/{os.path.relpath(work, parent)}"))
    with capabilities.files_as(uid, gid):
        tree_fd = overlay.detached(settings, attributes=options.attr_set)
    mounts.umount2(scratch, flags.MNT_DETACH)
    return tree_fd


def _show(path: str, userns_fd: int, scratch: str) -> str:
    """A directory once more, with its ids mapped; where."""
    tree_fd = mounts.open_tree(path)
    try:
        _map(tree_fd, userns_fd, path)
        where = f"{scratch}/{len(os.listdir(scratch))}"
        os.mkdir(where, 0o755)
        mounts.move_mount(tree_fd, where)
        return where
    finally:
        os.close(tree_fd)


def attach(prepared: Prepared) -> Root:
    """In init's own mount namespace: attach the root where there is room; the root itself."""
    place = next((each for each in _STAGES if os.path.isdir(each) and not os.path.islink(each)), "/")
    mounts.move_mount(prepared.root_fd, place)
    return Root(prepared.root_fd)


def admit(spec: Spec, pid: int) -> None:
    """What only root outside may do for init: its maps, its limits, its place in the queue of victims."""
    namespaces.write_id_maps(pid, rows(spec.linux.uid_maps), rows(spec.linux.gid_maps))
    score = spec.process.oom_score_adj
    if score:
        with open(f"/proc/{pid}/oom_score_adj", "w", encoding="ascii") as stream:
            stream.write(str(score))
    for limit in spec.process.rlimits:
        number = getattr(resource, limit.type, None)
        if number is None:
            raise StepFailure("set resource limits", errno.EINVAL, f"unknown resource limit {limit.type}")
        values = (limit.soft, limit.hard)
        resource.prlimit(pid, number, tuple(-1 if each >= 2**63 else each for each in values))  # type: ignore[arg-type]


def within(spec: Spec) -> Spec:
    """The part that is left for init itself."""
    return replace(spec, process=without_limits(spec.process))


def without_limits(process: Process) -> Process:
    """The process, whose limits are set already."""
    return replace(process, oom_score_adj=None, rlimits=())


def become_root() -> None:
    """After entering: be the namespace's root, for a uid that it does not know may make no files."""
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    os.setgroups([])
