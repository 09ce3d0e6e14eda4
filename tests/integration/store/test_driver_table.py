"""Which driver a data root gets, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from corten.errors import Conflict, Invalid
from corten.store.db import Database
from corten.store.layout import Layout
from corten.store.snapshots.drivers import open_driver

pytestmark = pytest.mark.root


def test_names_and_refusals(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.make()
    database = Database.open(layout.database)
    assert open_driver("", database, layout).name == "overlay"
    assert open_driver("overlay2", database, layout).name == "overlay"
    with pytest.raises(Invalid, match="unknown storage driver 'zfs'"):
        open_driver("zfs", database, layout)
    with pytest.raises(Invalid, match="not on a file system"):
        open_driver("btrfs", database, layout)
    open_driver("erofs", database, layout).close()
    copies = open_driver("vfs", database, layout)
    assert copies.name == "copy"
    copies.prepare("one", None)
    assert open_driver("", database, layout).name == "copy"
    with pytest.raises(Conflict, match="has images and containers of the storage driver 'copy'"):
        open_driver("overlay", database, layout)
    database.close()
