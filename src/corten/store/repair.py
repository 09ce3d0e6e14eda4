"""What is done at start, before anything uses the store: the leftovers of a killed process go.

Owns: the order.  Nothing here decides what is needed: a directory without a record, a file that was being written, a
thing renamed for deletion belong to nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

from corten.store.content import Content
from corten.store.layout import Layout
from corten.store.snapshots.base import Snapshots
from corten.store.trash import Trash


@dataclass(frozen=True, slots=True)
class Repaired:
    """How many leftovers of each kind there were."""

    snapshots: int
    ingests: int
    scratch: int
    recipes: int
    trash: int


def repair(layout: Layout, content: Content, snapshots: Snapshots) -> Repaired:
    """Make the store as it was before whatever was interrupted."""
    layout.make()
    trash = Trash(layout.trash)
    waiting = trash.empty()
    strays = snapshots.sweep()
    scratch = list(layout.scratch.iterdir())
    for path in scratch:
        trash.take(path)
    recipes = [path for path in layout.recipes.iterdir() if path.name.startswith(".") or "." in path.name]
    for path in recipes:
        path.unlink(missing_ok=True)
    return Repaired(strays, content.drop_stale(), len(scratch), len(recipes), waiting)
