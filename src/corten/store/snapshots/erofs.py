"""The erofs driver: layers that came as tars stay tars, each mounted through an index; all else is as in overlay.py.

    snapshots/erofs/<n>/layer.tar      the layer's exact, uncompressed tar
    snapshots/erofs/<n>/layer.erofs    its index (layers/index.py); without one the layer is the directory fs
    snapshots/erofs/<n>/fs, work       as in overlay.py: writable snapshots, and layers of builds and commits

A layer's index is mounted once, by this process, detached: nobody finds it but through this process's descriptors, and
all overlays on it share its pages.  They keep it alive when this process ends; the next one mounts it anew.
Owns: those descriptors.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from corten.errors import Invalid
from corten.kernel import erofs, overlay
from corten.store.db import Database
from corten.store.layers.index import INDEX, TAR
from corten.store.layers.index_tree import IndexTree, write
from corten.store.layout import Layout
from corten.store.snapshots.base import Kind
from corten.store.snapshots.overlay import OverlaySnapshots

_NEEDS = "the storage driver erofs needs Linux 6.15 with EROFS_FS and EROFS_FS_BACKED_BY_FILE: "


class ErofsSnapshots(OverlaySnapshots):
    """See snapshots/base.py."""

    name = "erofs"
    keeps_tars = True

    def __init__(self, database: Database, layout: Layout) -> None:
        super().__init__(database, layout)
        self._mounted: dict[int, int] = {}
        self._mounting = threading.Lock()
        _try(layout.scratch)

    def tar(self, key: str) -> Path | None:
        """The layer's exact tar, unless it is a directory."""
        number, info = self._records.get(key)
        tar = self._records.directory(number) / TAR
        return tar if info.kind is Kind.COMMITTED and tar.exists() else None

    def close(self) -> None:
        """Let go of every mount; those that containers use live on."""
        with self._mounting:
            for fd in self._mounted.values():
                os.close(fd)
            self._mounted.clear()

    def _discard(self, number: int) -> None:
        with self._mounting:
            fd = self._mounted.pop(number, None)
        if fd is not None:
            os.close(fd)
        super()._discard(number)

    def _fs(self, number: int) -> Path:
        root = self._records.directory(number)
        fd = self._mounted.get(number)
        if fd is None:
            if not (root / INDEX).exists():
                return root / "fs"
            with self._mounting:
                fd = self._mounted.get(number)
                if fd is None:
                    fd = self._mounted[number] = erofs.detached(str(root / INDEX), str(root / TAR))
        return _path(fd)


def _path(fd: int) -> Path:
    """Where other processes of the host find a descriptor of ours."""
    return Path(f"/proc/{os.getpid()}/fd/{fd}")


def _try(scratch: Path) -> None:
    """An empty layer, mounted and stacked as containers will need it: a kernel that cannot is told of at the start."""
    index, data = scratch / f"erofs-{os.getpid()}", scratch / f"erofs-{os.getpid()}.tar"
    data.write_bytes(bytes(erofs.BLOCK))
    index.write_bytes(b"".join(write(IndexTree(lowest=True), 1)))
    try:
        fd = erofs.detached(str(index), str(data))
        try:
            os.close(overlay.detached([("lowerdir", f"{_path(fd)}:{scratch}")]))
        finally:
            os.close(fd)
    except OSError as error:
        raise Invalid(f"{_NEEDS}{error.strerror}", hint="Choose another --storage-driver.") from error
    finally:
        index.unlink()
        data.unlink()
