"""``corten save``: images into an archive."""

from __future__ import annotations

from corten.cli import files, platforms
from corten.cli.command import Call, Command


def run(call: Call) -> None:
    """Write the archive to a file or to standard output."""
    options = call.options
    output = options.text("output")
    files.refuse_terminal(output, "save")
    query = {"names": call.arguments, "platform": platforms.parameter(options.text("platform"))}
    response = call.session.request("GET", "/images/get", query)
    files.write_stream(output, response.pieces())


COMMAND = Command(
    run,
    "[OPTIONS] IMAGE [IMAGE...]",
    """
    -o, --output=string      Write to a file, instead of STDOUT
        --platform=string    Save only the given platform variant (os[/arch[/variant]])
    """,
    least=1,
)
