"""A directory or file inside a snapshot as a mount by itself, for RUN --mount=type=bind.

A mount of an overlay's inner directory is an overlay of that directory in each layer, down to the first layer that
hides what is below it.  Owns this reasoning; nothing is mounted here.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corten.build.ports import MountLike, Trees
from corten.errors import NotFound
from corten.kernel.paths import Root

OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")


@dataclass(frozen=True, slots=True)
class Piece:
    """A mount's type, source and options.  ``layers`` are directories, topmost first; a file has one."""

    layers: tuple[str, ...]
    is_directory: bool

    def read_only(self) -> tuple[str, str, tuple[str, ...]]:
        if len(self.layers) == 1:
            return "bind", self.layers[0], ("rbind", "ro")
        return "overlay", "overlay", (f"lowerdir={':'.join(self.layers)}", "ro")

    def writable(self, upper: Path, work: Path) -> tuple[str, str, tuple[str, ...]]:
        """What is written goes to ``upper`` and is thrown away with it."""
        return "overlay", "overlay", (f"lowerdir={':'.join(self.layers)}", f"upperdir={upper}", f"workdir={work}")


def piece_of(mounts: Sequence[MountLike], path: str, trees: Trees) -> Piece:
    """Where ``path`` of a snapshot lies.  Links are resolved in the merged tree.  Raises NotFound."""
    with trees.open(mounts) as fd:
        root = Root(fd)
        try:
            real = root.realpath(path or "/")
            is_directory = stat.S_ISDIR(root.stat(real, follow=False).st_mode)
        except OSError:
            raise NotFound(f'failed to calculate checksum of ref: "{path}": not found') from None
    inside = real.strip("/")
    layers = _layers(mounts[0])
    if not inside:
        return Piece(tuple(layers), True)
    found: list[str] = []
    for layer in layers:
        verdict = _look(layer, inside)
        if verdict != "absent" and verdict != "hidden":
            found.append(os.path.join(layer, inside))
        if verdict in ("last", "hidden") or (found and not is_directory):
            break
    return Piece(tuple(found), is_directory)


def _layers(mount: MountLike) -> list[str]:
    if mount.type == "bind":
        return [mount.source]
    values = dict(option.partition("=")[::2] for option in mount.options)
    upper = [values["upperdir"]] if "upperdir" in values else []
    return upper + values.get("lowerdir", "").split(":")


def _look(layer: str, inside: str) -> str:
    """ "absent" here, "hidden" from here down, there and the "last" one to count, or there with "more" below."""
    is_last = False
    path = layer
    for part in inside.split("/"):
        path = os.path.join(path, part)
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return "hidden" if is_last else "absent"
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            return "hidden"
        if not stat.S_ISDIR(status.st_mode):
            return "last" if path == os.path.join(layer, inside) else "hidden"
        is_last = is_last or _is_opaque(path)
    return "last" if is_last else "more"


def _is_opaque(path: str) -> bool:
    for name in OPAQUE:
        try:
            if os.getxattr(path, name, follow_symlinks=False) == b"y":
                return True
        except OSError:
            continue
    return False
