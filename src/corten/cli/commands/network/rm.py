"""``corten network rm``: remove networks."""

from __future__ import annotations

import sys

from corten.cli.command import Call, Command, Exit
from corten.client import paths
from corten.errors import CortenError, NotFound


def run(call: Call) -> None:
    """Remove each."""
    failed = False
    for name in call.arguments:
        try:
            call.session.delete(paths.network(name))
        except CortenError as error:
            if isinstance(error, NotFound) and call.options.on("force"):
                continue
            print(error, file=sys.stderr)
            failed = True
        else:
            print(name, flush=True)
    if failed:
        # docker: these words stand below the reasons
        raise Exit(1, "exit status 1")


COMMAND = Command(
    run,
    "NETWORK [NETWORK...]",
    """
    -f, --force              Do not error if the network does not exist
    """,
    least=1,
)
