"""``corten network disconnect``: take a container off a network."""

from __future__ import annotations

from corten.cli.command import Call, Command
from corten.client import paths


def run(call: Call) -> None:
    """Disconnect one."""
    name, container = call.arguments
    body = {"Container": container, "Force": call.options.on("force")}
    call.session.post(paths.network(name, "/disconnect"), body=body)


COMMAND = Command(
    run,
    "[OPTIONS] NETWORK CONTAINER",
    """
    -f, --force              Force the container to disconnect from a network
    """,
    least=2,
    most=2,
)
