"""``corten context rm``: forget contexts."""

from __future__ import annotations

from corten.cli.command import Call, Command
from corten.client import contexts
from corten.errors import Conflict, NotFound


def run(call: Call) -> int:
    """Remove each."""
    return call.for_each(lambda name: _remove(call, name))


def _remove(call: Call, name: str) -> None:
    force, folder = call.options.on("force"), call.connection.folder
    if name == contexts.DEFAULT:
        raise Conflict('context "default" cannot be removed')
    if name == contexts.current(folder):
        if not force:
            raise Conflict(f'context "{name}" is in use, set -f flag to force remove')
        contexts.use(folder, contexts.DEFAULT)
    try:
        contexts.remove(folder, name)
    except NotFound:
        if not force:
            raise


COMMAND = Command(
    run,
    "CONTEXT [CONTEXT...]",
    """
    -f, --force              Force the removal of a context in use
    """,
    least=1,
)
