"""``corten load``: images from an archive."""

from __future__ import annotations

import sys

from corten.cli import files, platforms
from corten.cli.command import Call, Command
from corten.cli.output import progress
from corten.errors import Invalid, NotFound


def run(call: Call) -> None:
    """Send the archive and show what came of it."""
    options = call.options
    source = options.text("input")
    if not source and sys.stdin.isatty():
        raise Invalid("requested load from stdin, but stdin is empty")
    # docker: bars only where someone can see them
    quiet = options.on("quiet") or not sys.stdout.isatty()
    query = {"quiet": quiet, "platform": platforms.parameter(options.text("platform"))}
    try:
        with open(source, "rb") if source else sys.stdin.buffer as archive:
            response = call.session.request(
                "POST", "/images/load", query, files.read_blocks(archive), {"Content-Type": "application/x-tar"}
            )
    except FileNotFoundError as error:
        raise NotFound(f"open {source}: no such file or directory") from error
    if response.head.headers.get("content-type", "").startswith("application/json"):
        progress.follow(response.objects(), sys.stdout)
    else:
        sys.stdout.write(response.read().decode("utf-8", "replace"))


COMMAND = Command(
    run,
    "[OPTIONS]",
    """
    -i, --input=string       Read from tar archive file, instead of STDIN
        --platform=string    Load only the given platform variant (os[/arch[/variant]])
    -q, --quiet              Suppress the load output
    """,
    most=0,
)
