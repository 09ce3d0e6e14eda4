"""Where the exact tar of a layer can be had from, when no blob of it is here.

Owns: the choice between the tar that the snapshot driver keeps, the recipe with the layer's files, and the files alone.
"""

from __future__ import annotations

from corten.spec.digest import Digest
from corten.store.layers.printing import Source
from corten.store.layout import Layout
from corten.store.snapshots.base import Snapshots


def snapshot_source(layout: Layout, snapshots: Snapshots, diff_id: Digest, chain: Digest) -> Source:
    """What to print the layer from.  NotFound if it is no snapshot."""
    tar = snapshots.tar(str(chain))
    if tar is not None:
        return Source(tar=tar)
    recipe = layout.recipes / diff_id.hex
    return Source(recipe=recipe if recipe.exists() else None, tree=snapshots.upper(str(chain)))
