"""``corten pause``: halt every process of containers."""

from __future__ import annotations

from corten.cli.command import Call, Command
from corten.client import paths


def run(call: Call) -> int:
    """Pause each."""
    return call.for_each(lambda name: call.session.post(paths.container(name, "/pause")))


COMMAND = Command(run, "CONTAINER [CONTAINER...]", least=1)
