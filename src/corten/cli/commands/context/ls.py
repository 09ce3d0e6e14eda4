"""``corten context ls``: list contexts."""

from __future__ import annotations

import os

from corten.cli.command import Call, Command
from corten.cli.output import listing
from corten.client import address, contexts

HEADERS = {
    "Current": "CURRENT",
    "Description": "DESCRIPTION",
    "DockerEndpoint": "DOCKER ENDPOINT",
    "Error": "ERROR",
    "Name": "NAME",
}


def run(call: Call) -> None:
    """Show those that are known, and the default."""
    options = call.options
    current = call.connection.context()
    here = address.from_environment(os.environ, call.connection.folder) or address.default()
    default = contexts.Context(contexts.DEFAULT, str(here), "Environment variables and the default socket")
    found = [default, *contexts.all_of(call.connection.folder)]
    rows: list[listing.Row] = []
    for context in found:
        is_current = context.name == current
        # A table marks the current one in its name's column; a template has a field of its own.
        mark = " *" if is_current and not options.text("format") and not options.on("quiet") else ""
        rows.append(
            {
                "Current": "true" if is_current else "false",
                "Description": context.description,
                "DockerEndpoint": context.host,
                "Error": "",
                "Name": context.name + mark,
            }
        )
    listing.show(
        rows,
        HEADERS,
        ("Name", "Description", "DockerEndpoint", "Error"),
        options.text("format"),
        quiet="Name" if options.on("quiet") else "",
        kind="formatter.clientContextContext",
    )


COMMAND = Command(
    run,
    "[OPTIONS]",
    """
        --format=string      Format output: 'table', 'table TEMPLATE', 'json', or a Go template
    -q, --quiet              Only show context names
    """,
    most=0,
)
