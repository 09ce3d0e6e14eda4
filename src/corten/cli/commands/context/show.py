"""``corten context show``: the name of the context in use."""

from __future__ import annotations

from corten.cli.command import Call, Command


def run(call: Call) -> None:
    """Print it."""
    print(call.connection.context())


COMMAND = Command(run, most=0)
