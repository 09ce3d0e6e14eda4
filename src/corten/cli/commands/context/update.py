"""``corten context update``: another address or description for a context."""

from __future__ import annotations

import sys

from corten.cli.command import Call, Command
from corten.cli.commands.context.create import parse
from corten.client import contexts


def run(call: Call) -> None:
    """Write it again."""
    options, folder, name = call.options, call.connection.folder, call.arguments[0]
    context = contexts.get(folder, name)
    files: dict[str, str] = {}
    if options.many("docker"):
        context, files = parse(name, context.description, options.many("docker"))
    if options.given("description"):
        context = context._replace(description=options.text("description"))
    contexts.put(folder, context, replace=True, files=files)
    print(name)
    print(f'Successfully updated context "{name}"', file=sys.stderr)


COMMAND = Command(
    run,
    "[OPTIONS] CONTEXT",
    """
        --description=string     Description of the context
        --docker=stringToString  Set the endpoint (host, ca, cert, key, skip-tls-verify)
    """,
    least=1,
    most=1,
)
