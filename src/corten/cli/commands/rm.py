"""``corten rm``: remove containers."""

from __future__ import annotations

import sys

from corten.cli.command import Call, Command
from corten.client import paths
from corten.errors import CortenError, Invalid, NotFound


def run(call: Call) -> int:
    """Remove each."""
    failed = False
    for name in call.arguments:
        try:
            _remove(call, name)
        except CortenError as error:
            print(error, file=sys.stderr)
            # docker: with --force, what is not there is told but is no failure
            failed = failed or not (isinstance(error, NotFound) and call.options.on("force"))
        else:
            print(name, flush=True)
    return 1 if failed else 0


def _remove(call: Call, name: str) -> None:
    plain = name.strip("/")
    if not plain:
        raise Invalid("Container name cannot be empty")
    options = call.options
    query = {"force": options.on("force"), "v": options.on("volumes"), "link": options.on("link")}
    call.session.delete(paths.container(plain), query)


COMMAND = Command(
    run,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    """
    -f, --force              Force the removal of a running container (uses SIGKILL)
    -l, --link               Remove the specified link
    -v, --volumes            Remove anonymous volumes associated with the container
    """,
    least=1,
)
