"""The copy driver: every snapshot a full copy of its parent.  For file systems that overlayfs does not work on.

Owns: cloning by copying.  Blocks are shared where the file system can (reflinks).  The rest: whole.py.
"""

from __future__ import annotations

import os
from pathlib import Path

from corten.store.snapshots.whole import WholeSnapshots
from corten.store.tree import copy_tree


class CopySnapshots(WholeSnapshots):
    """See snapshots/base.py."""

    name = "copy"

    def _clone(self, source: Path | None, target: Path) -> None:
        os.mkdir(target, 0o755)
        os.chmod(target, 0o755)
        if source is not None:
            copy_tree(source, target)
