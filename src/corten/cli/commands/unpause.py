"""``corten unpause``: let the processes of containers go on."""

from __future__ import annotations

from corten.cli.command import Call, Command
from corten.client import paths


def run(call: Call) -> int:
    """Unpause each."""
    return call.for_each(lambda name: call.session.post(paths.container(name, "/unpause")))


COMMAND = Command(run, "CONTAINER [CONTAINER...]", least=1)
