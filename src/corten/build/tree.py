"""Opening snapshots without showing them: detached mounts, seen by nobody but the holder of the descriptor.

Owns how a store Mount becomes a descriptor.  What is done inside goes through kernel.paths.Root.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from corten.build.ports import MountLike
from corten.errors import Internal
from corten.kernel import flags, mounts, overlay


class DetachedTrees:
    """build.ports.Trees on the kernel's new mount calls."""

    @contextmanager
    def open(self, mounts: Sequence[MountLike]) -> Iterator[int]:
        fd = _open(mounts)
        try:
            yield fd
        finally:
            os.close(fd)


def _open(stack: Sequence[MountLike]) -> int:
    if len(stack) != 1:
        raise Internal(f"a snapshot of {len(stack)} mounts cannot be opened")
    mount = stack[0]
    attributes = flags.MOUNT_ATTR_RDONLY if "ro" in mount.options else 0
    try:
        if mount.type == "bind":
            fd = mounts.open_tree(mount.source)
            if attributes:
                mounts.mount_setattr(fd, attr_set=attributes)
            return fd
        if mount.type == "overlay":
            return overlay.detached(_options(mount), attributes=attributes)
        return mounts.detached(mount.type, _options(mount), source=mount.source, attributes=attributes)
    except OSError as failure:
        raise Internal(f"opening a snapshot: {failure}") from failure


def _options(mount: MountLike) -> list[tuple[str, str | None]]:
    """fsconfig's pairs."""
    pairs: list[tuple[str, str | None]] = []
    for option in mount.options:
        name, equals, value = option.partition("=")
        if name not in ("ro", "rw"):
            pairs.append((name, value if equals else None))
    return pairs
