"""The btrfs driver: every snapshot a subvolume, cloned from its parent by the file system itself, at once.

Owns: the two ioctls (linux/btrfs.h).  A subvolume that was emptied goes by rmdir(2), so deletion needs nothing of its
own. The rest: whole.py.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from corten.store.snapshots.whole import WholeSnapshots

# struct btrfs_ioctl_vol_args and _v2: 4096 bytes (more than fcntl.ioctl takes as bytes); the name is at the end.
_SUBVOL_CREATE = 0x5000940E
_SNAP_CREATE_V2 = 0x50009417
_CREATE_ARGS = struct.Struct("=q4088s")
_SNAPSHOT_ARGS = struct.Struct("=qQQ32x4040s")


class BtrfsSnapshots(WholeSnapshots):
    """See snapshots/base.py."""

    name = "btrfs"

    def _clone(self, source: Path | None, target: Path) -> None:
        above = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            name = os.fsencode(target.name)
            if source is None:
                fcntl.ioctl(above, _SUBVOL_CREATE, bytearray(_CREATE_ARGS.pack(0, name)))
                os.chmod(target, 0o755)
                return
            tree = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.ioctl(above, _SNAP_CREATE_V2, bytearray(_SNAPSHOT_ARGS.pack(tree, 0, 0, name)))
            finally:
                os.close(tree)
        finally:
            os.close(above)
