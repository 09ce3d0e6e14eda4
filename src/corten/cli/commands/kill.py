"""``corten kill``: send a signal to the first process of containers."""

from __future__ import annotations

from corten.cli.command import Call, Command
from corten.client import paths


def run(call: Call) -> int:
    """Signal each."""
    query = {"signal": call.options.text("signal")}
    return call.for_each(lambda name: call.session.post(paths.container(name, "/kill"), query))


COMMAND = Command(
    run,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    """
    -s, --signal=string      Signal to send to the container
    """,
    least=1,
)
