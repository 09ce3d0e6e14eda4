"""``corten logout``: forget the password for a registry."""

from __future__ import annotations

from corten.cli.command import Call, Command
from corten.client import credentials


def run(call: Call) -> None:
    """Forget one."""
    server = call.arguments[0] if call.arguments else ""
    shown = server or credentials.HUB
    print(f"Removing login credentials for {shown}")
    credentials.erase(call.config, server)


COMMAND = Command(run, "[SERVER]", most=1)
