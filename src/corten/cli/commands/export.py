"""``corten export``: a container's file system as a tar archive."""

from __future__ import annotations

from corten.cli import files
from corten.cli.command import Call, Command
from corten.client import paths


def run(call: Call) -> None:
    """Write the archive to a file or to standard output."""
    output = call.options.text("output")
    files.refuse_terminal(output, "export")
    response = call.session.request("GET", paths.container(call.arguments[0], "/export"))
    files.write_stream(output, response.pieces())


COMMAND = Command(
    run,
    "[OPTIONS] CONTAINER",
    """
    -o, --output=string      Write to a file, instead of STDOUT
    """,
    least=1,
    most=1,
)
