"""Where everything lives under the data root.  Every path of the store is made here.

    <data root>/
      corten.db               facts, images, snapshot records (SQLite, WAL); drawn in db.py
      content/                an OCI image layout that other tools can read
        oci-layout
        index.json            tagged manifests
        blobs/sha256/<hex>    verified before they appear
        ingest/<name>         unfinished blobs; survive restarts
      snapshots/<driver>/<n>/ one directory a snapshot; drawn in the driver
      recipes/<hex>           how to print a layer's exact tar again from its files (layers/recipe.py)
      containers/<id>/        bundles: written by the engine and the shims
      volumes/<name>/_data    volumes
      builds/                 the builder's own files
      scratch/                files of one operation; emptied at start
      trash/                  renamed for deletion; emptied in the background, and at start

Owns: paths and making the directories.  Knows nothing of what is in them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from corten.kernel.ext4 import spread


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one data root."""

    data_root: Path

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.data_root / "corten.db"

    @property
    def content(self) -> Path:
        """The OCI image layout."""
        return self.data_root / "content"

    @property
    def snapshots(self) -> Path:
        """A directory a driver."""
        return self.data_root / "snapshots"

    @property
    def recipes(self) -> Path:
        """Recipes of layer tars, by the hex of the diff ID."""
        return self.data_root / "recipes"

    @property
    def containers(self) -> Path:
        """A bundle a container."""
        return self.data_root / "containers"

    @property
    def volumes(self) -> Path:
        """A directory a volume."""
        return self.data_root / "volumes"

    @property
    def builds(self) -> Path:
        """The builder's own."""
        return self.data_root / "builds"

    @property
    def scratch(self) -> Path:
        """Files of one operation."""
        return self.data_root / "scratch"

    @property
    def trash(self) -> Path:
        """Renamed for deletion."""
        return self.data_root / "trash"

    def make(self) -> None:
        """Make every directory that is missing.  Others on the host may traverse the root and read nothing."""
        os.makedirs(self.data_root, mode=0o710, exist_ok=True)
        for path, mode in (
            (self.content, 0o700),
            (self.snapshots, 0o710),
            (self.recipes, 0o700),
            (self.containers, 0o710),
            (self.volumes, 0o711),
            (self.builds, 0o700),
            (self.scratch, 0o700),
            (self.trash, 0o700),
        ):
            os.makedirs(path, mode=mode, exist_ok=True)
        for path in (self.containers, self.scratch):
            spread(path)
