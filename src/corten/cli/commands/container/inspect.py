"""``corten container inspect``: all that is known of containers."""

from __future__ import annotations

from corten.cli import inspection
from corten.cli.command import Call, Command
from corten.client import paths


def run(call: Call) -> int:
    """Inspect each."""
    query = {"size": call.options.on("size")}
    return inspection.show(call, lambda name: call.session.get(paths.container(name, "/json"), query))


COMMAND = Command(
    run,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    inspection.FLAGS
    + """
    -s, --size               Display total file sizes
    """,
    least=1,
)
