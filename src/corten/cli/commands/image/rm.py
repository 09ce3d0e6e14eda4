"""``corten rmi``: remove names of images, and images that are left without one."""

from __future__ import annotations

import sys

from corten.cli import platforms
from corten.cli.command import Call, Command
from corten.client import paths
from corten.errors import CortenError, NotFound


def run(call: Call) -> int:
    """Remove each."""
    failed = False
    for name in call.arguments:
        try:
            _remove(call, name)
        except CortenError as error:
            print(error, file=sys.stderr)
            failed = failed or not (isinstance(error, NotFound) and call.options.on("force"))
    return 1 if failed else 0


def _remove(call: Call, name: str) -> None:
    options = call.options
    query = {
        "force": options.on("force"),
        "noprune": options.on("no-prune"),
        "platforms": [platforms.parameter(word) for word in options.many("platform")],
    }
    for item in call.session.delete(paths.image(name), query) or ():
        if "Deleted" in item:
            print(f"Deleted: {item['Deleted']}")
        else:
            print(f"Untagged: {item['Untagged']}")


COMMAND = Command(
    run,
    "[OPTIONS] IMAGE [IMAGE...]",
    """
    -f, --force              Force removal of the image
        --no-prune           Do not delete untagged parents
        --platform=strings   Remove only the given platform variant (os[/arch[/variant]])
    """,
    least=1,
)
