"""Tidying a step's upper directory before it becomes a layer: mount points left by the runtime, times after the epoch.

Works on the directory itself, while nobody has the snapshot mounted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from corten.build.ports import MountLike

RUNTIME_FILES = ("etc/resolv.conf", "etc/hosts", "etc/hostname", ".dockerenv", "dev/console")
CONTAINER_LINKS = {"etc/mtab": "/proc/mounts"}
"""What the start of a container links, and that of a step does not: in a step's layer it is the user's."""

RUNTIME_DIRECTORIES = ("proc", "sys", "dev/pts", "dev/shm", "dev/mqueue", "dev/pipes", "dev")
"""What a container's start may make to mount on.  During a RUN these are covered, so nothing in them is the user's."""


def remove_stubs(
    upper: Path,
    mounts: Callable[[], Sequence[MountLike]],
    targets: Iterable[str] = (),
    links: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Remove empty files and directories that were made to mount on, ``links``, and parents that only hold those.

    ``mounts`` are the snapshot's, asked for only where something was removed.
    """
    top = set(os.listdir(upper))  # most steps touch none of these: one call instead of a dozen
    places = [*links, *RUNTIME_FILES, *(target.strip("/") for target in targets), *RUNTIME_DIRECTORIES]
    lowers: Sequence[str] | None = None
    for place in places:
        parts = place.split("/")
        if parts[0] not in top or ".." in parts:
            continue
        path = upper / place
        if path.is_relative_to(upper) and _remove_stub(path, links.get(place)):
            if lowers is None:
                lowers = _lowers(mounts())
            _remove_parents(path.parent, upper, lowers)


def _remove_stub(path: Path, link: str | None) -> bool:
    try:
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode):
            os.rmdir(path)
        elif (stat.S_ISREG(status.st_mode) and status.st_size == 0) or (link and os.readlink(path) == link):
            os.unlink(path)
        else:
            return False
    except OSError:
        return False
    return True


def _remove_parents(path: Path, upper: Path, lowers: Sequence[str]) -> None:
    """A directory in the upper that is empty now and looks as it does below came only of making the stub."""
    while path != upper:
        status = os.lstat(path)
        below = _below(path.relative_to(upper), lowers)
        if below is None:
            if stat.S_IMODE(status.st_mode) != 0o755 or status.st_uid or status.st_gid:
                return
        elif (below.st_mode, below.st_uid, below.st_gid) != (status.st_mode, status.st_uid, status.st_gid):
            return
        try:
            os.rmdir(path)  # also drops an opaque mark, which an empty directory over nothing does not need
        except OSError:
            return
        path = path.parent


def _below(relative: Path, lowers: Sequence[str]) -> os.stat_result | None:
    for lower in lowers:
        try:
            status = os.lstat(os.path.join(lower, relative))
        except OSError:
            continue
        return status if stat.S_ISDIR(status.st_mode) else None
    return None


def _lowers(mounts: Sequence[MountLike]) -> list[str]:
    for option in mounts[0].options if mounts else ():
        if option.startswith("lowerdir="):
            return option.removeprefix("lowerdir=").split(":")
    return []


def clamp_times(upper: Path, epoch: int) -> None:
    """Nothing in the layer is younger than the epoch (SOURCE_DATE_EPOCH)."""
    limit = epoch * 1_000_000_000
    found, pending = [str(upper)], [str(upper)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                found.append(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
    for path in reversed(found):
        _clamp(path, limit)


def _clamp(path: str, limit: int) -> None:
    if os.lstat(path).st_mtime_ns > limit:
        os.utime(path, ns=(limit, limit), follow_symlinks=False)
