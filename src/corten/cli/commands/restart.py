"""``corten restart``: stop containers and start them again."""

from __future__ import annotations

from corten.cli.command import Call, Command
from corten.cli.commands.stop import stop_query
from corten.client import paths


def run(call: Call) -> int:
    """Restart each."""
    return call.for_each(lambda name: call.session.post(paths.container(name, "/restart"), stop_query(call)))


COMMAND = Command(
    run,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    """
    -s, --signal=string      Signal to send to the container
    -t, --timeout=int        Seconds to wait before killing the container
    """,
    least=1,
)
