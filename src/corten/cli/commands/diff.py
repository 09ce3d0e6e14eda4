"""``corten diff``: what a container changed in its file system."""

from __future__ import annotations

from corten.cli.command import Call, Command
from corten.client import paths

KINDS = "CAD"


def run(call: Call) -> None:
    """A letter and a path for each change."""
    changes = call.session.get(paths.container(call.arguments[0], "/changes")) or []
    for change in changes:
        print(f"{KINDS[change['Kind']]} {change['Path']}")


COMMAND = Command(run, "CONTAINER", least=1, most=1)
