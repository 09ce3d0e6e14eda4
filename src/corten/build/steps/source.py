"""Where files come from: the finished stage, the image or the context that an Origin names.

Knows how an image without layers is a tree, too.  solve.py gives the states; this opens them.
"""

from __future__ import annotations

from pathlib import Path

from corten.build.context import SourceTree
from corten.build.ports import Ports
from corten.build.steps.base import Stack, State
from corten.kernel.paths import Root


def open_state(ports: Ports, state: State, stack: Stack, empty: Path) -> SourceTree:
    """A stage's or an image's files, read only, until ``stack`` is closed."""
    if state.chain is None:
        return SourceTree(stack.enter_context(Root.at(empty)), is_context=False)
    fd = stack.enter_context(ports.trees.open(ports.snapshots.mounts(state.chain)))
    return SourceTree(Root(fd), is_context=False)
