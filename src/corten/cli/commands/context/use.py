"""``corten context use``: make a context the one in use."""

from __future__ import annotations

import os
import sys

from corten.cli.command import Call, Command
from corten.client import contexts


def run(call: Call) -> None:
    """Note the name."""
    name = call.arguments[0]
    contexts.use(call.connection.folder, name)
    print(name)
    print(f'Current context is now "{name}"', file=sys.stderr)
    for variable in ("CORTEN_HOST", "DOCKER_HOST"):
        if name != contexts.DEFAULT and os.environ.get(variable):
            print(f"Warning: {variable} environment variable overrides the active context.", file=sys.stderr)


COMMAND = Command(run, "CONTEXT", least=1, most=1)
