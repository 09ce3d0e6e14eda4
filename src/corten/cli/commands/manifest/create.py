"""``corten manifest create``: begin a list of the images of several platforms."""

from __future__ import annotations

from corten.cli import manifests
from corten.cli.command import Call, Command
from corten.errors import Conflict, Invalid


def run(call: Call) -> None:
    """Look every image up at its registry; keep what it says."""
    name, images = manifests.full(call.arguments[0]), call.arguments[1:]
    lists = manifests.lists(call)
    if lists.has(name) and not call.options.on("amend"):
        raise Conflict("refusing to amend an existing manifest list with no --amend flag")
    for image in images:
        found = manifests.fetch(call, image)
        if "Manifests" in found:
            raise Invalid(f"{manifests.familiar(manifests.full(image))} is a manifest list")
        lists.keep(name, image, manifests.entry_of(found))
    print(f"Created manifest list {name}")


COMMAND = Command(
    run,
    "MANIFEST_LIST MANIFEST [MANIFEST...]",
    """
    -a, --amend     Amend an existing manifest list
        --insecure  Allow communication with an insecure registry
    """,
    least=2,
)
