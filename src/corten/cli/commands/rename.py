"""``corten rename``: give a container another name."""

from __future__ import annotations

from corten.cli.command import Call, Command, Exit
from corten.client import paths
from corten.errors import CortenError


def run(call: Call) -> None:
    """Rename one."""
    old, new = call.arguments
    if not old.strip() or not new.strip():
        raise Exit(1, "Error: Neither old nor new names may be empty")
    try:
        call.session.post(paths.container(old, "/rename"), {"name": new})
    except CortenError as error:
        raise Exit(1, f"{error}\nError: failed to rename container named {old}") from error


COMMAND = Command(run, "CONTAINER NEW_NAME", least=2, most=2)
