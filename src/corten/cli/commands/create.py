"""``corten create``: make a container and do not start it."""

from __future__ import annotations

from corten.cli import creation
from corten.cli.command import Call, Command
from corten.cli.containers import flags


def run(call: Call) -> None:
    """Create one and print its id."""
    print(creation.create(call, creation.body_of(call)))


COMMAND = Command(run, "[OPTIONS] IMAGE [COMMAND] [ARG...]", flags.CREATE, least=1, interspersed=False)
