"""``corten volume rm``: remove volumes."""

from __future__ import annotations

from corten.cli.command import Call, Command
from corten.client import paths


def run(call: Call) -> int:
    """Remove each."""
    query = {"force": call.options.on("force")}
    return call.for_each(lambda name: call.session.delete(paths.volume(name), query))


COMMAND = Command(
    run,
    "[OPTIONS] VOLUME [VOLUME...]",
    """
    -f, --force              Force the removal of one or more volumes
    """,
    least=1,
)
