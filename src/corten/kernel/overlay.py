"""Overlay file systems as detached mounts, however many layers they have and whatever the kernel's age.

Owns the two ways to name lower layers: ``lowerdir+`` once for each (Linux 6.8), and one string for all (before).
Knows nothing of snapshots; see the kernel's Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterable, Sequence

from corten.kernel import flags, mounts

_COLON = re.compile(r"(?<!\\):")
# What fsconfig(2) takes as a string, and what mount(2) takes as data.
_STRING_LIMIT = 255
_PAGE_LIMIT = 4095

Setting = tuple[str, str | None]


def lower_directories(value: str) -> list[str]:
    """The layers that a ``lowerdir=`` names, topmost first: split at colons that are not escaped."""
    return [part.replace("\\:", ":") for part in _COLON.split(value) if part]


def detached(options: Sequence[Setting], *, attributes: int = 0) -> int:
    """A detached overlay mount.  ``options`` are mount(2)'s, with ``lowerdir`` as one string.  Raises OSError."""
    try:
        return mounts.detached("overlay", _one_by_one(options), source="overlay", attributes=attributes)
    except OSError as failure:
        if failure.errno != errno.EINVAL or _knows_single_layers():
            raise
    lowers = dict(options).get("lowerdir") or ""
    if len(lowers) <= _STRING_LIMIT:
        return mounts.detached("overlay", options, source="overlay", attributes=attributes)
    return _through_a_directory(options, attributes)


def _one_by_one(options: Iterable[Setting]) -> list[Setting]:
    settings: list[Setting] = []
    for key, value in options:
        if key == "lowerdir" and value:
            settings += [("lowerdir+", layer) for layer in lower_directories(value)]
        else:
            settings.append((key, value))
    return settings


def _knows_single_layers() -> bool:
    """Whether this kernel takes ``lowerdir+``: asked of the kernel, for distributions carry it back to older ones."""
    context_fd = mounts.fsopen("overlay")
    try:
        mounts.fsconfig(context_fd, "lowerdir+", "/")
    except OSError:
        return False
    finally:
        os.close(context_fd)
    # Older kernels collect options unread and refuse them only when the file system is made.
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return release is not None and (int(release[1]), int(release[2])) >= (6, 5)


def _through_a_directory(options: Sequence[Setting], attributes: int) -> int:
    """mount(2) takes a page of options where fsconfig(2) takes 255 bytes: mount, keep a clone, unmount at once."""
    data = ",".join(key if value is None else f"{key}={value}" for key, value in options)
    if len(data) > _PAGE_LIMIT:
        raise OSError(errno.E2BIG, "too many layers for a kernel before Linux 6.8", "overlay")
    where = f"/tmp/corten-overlay-{os.getpid()}-{time.monotonic_ns()}"  # tempfile's generator must not be forked
    os.mkdir(where, 0o700)
    try:
        mounts.mount("overlay", where, "overlay", 0, data)
        try:
            tree_fd = mounts.open_tree(where)
        finally:
            mounts.umount2(where, flags.MNT_DETACH)
    finally:
        os.rmdir(where)
    if attributes:
        mounts.mount_setattr(tree_fd, attr_set=attributes)
    return tree_fd
