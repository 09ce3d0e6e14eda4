"""The table of snapshot drivers, and which one a data root has.

Owns: names (Docker's too) and the refusal of a driver that does not fit: a data root keeps the driver that its
snapshots were made with.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from corten.errors import Conflict, Invalid
from corten.store.db import Database
from corten.store.layout import Layout
from corten.store.snapshots.base import Snapshots
from corten.store.snapshots.btrfs import BtrfsSnapshots
from corten.store.snapshots.copy import CopySnapshots
from corten.store.snapshots.erofs import ErofsSnapshots
from corten.store.snapshots.overlay import OverlaySnapshots

DEFAULT = "overlay"
_DRIVERS: dict[str, Callable[[Database, Layout], Snapshots]] = {
    "overlay": OverlaySnapshots,
    "btrfs": BtrfsSnapshots,
    "copy": CopySnapshots,
    "erofs": ErofsSnapshots,
}
_DOCKERS = {"overlay2": "overlay", "vfs": "copy"}
SHOWN = {own: dockers for dockers, own in _DOCKERS.items()}
"""Our names to those that clients and scripts know."""


def open_driver(wanted: str, database: Database, layout: Layout) -> Snapshots:
    """The driver of this name; without a name the one that the data root has.  Raises Invalid or Conflict."""
    name = _DOCKERS.get(wanted, wanted)
    if name and name not in _DRIVERS:
        raise Invalid(f"unknown storage driver {wanted!r}: there are {', '.join(sorted(_DRIVERS))}")
    row = database.row("SELECT driver, count(*) AS number FROM snapshots GROUP BY driver ORDER BY number DESC LIMIT 1")
    has = str(row["driver"]) if row else ""
    if name and has and name != has:
        raise Conflict(
            f"{layout.data_root} has images and containers of the storage driver {has!r}, not {name!r}",
            hint="Choose another --data-root, or remove all images and containers first.",
        )
    try:
        driver = _DRIVERS[name or has or DEFAULT](database, layout)
        _try(driver)
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EOPNOTSUPP):
            raise
        raise Invalid(f"{layout.data_root} is not on a file system for the storage driver {name!r}") from error
    return driver


def _try(driver: Snapshots) -> None:
    """Some file systems cannot carry some drivers: told now, not at the first pull."""
    driver.unstage(driver.stage(None))
