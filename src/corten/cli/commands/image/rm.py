"""``corten rmi``: remove names of images, and images that are left without one."""

from __future__ import annotations

from corten.cli import platforms
from corten.cli.command import Call, Command
from corten.client import paths


def run(call: Call) -> int:
    """Remove each."""
    return call.for_each(lambda name: _remove(call, name), show=False, forgives=call.options.on("force"))


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
