"""``corten manifest inspect``: a manifest, or a list, as the registry has it or as it was begun here."""

from __future__ import annotations

from corten.cli import manifests
from corten.cli.command import Call, Command


def run(call: Call) -> None:
    """Show one."""
    verbose, lists = call.options.on("verbose"), manifests.lists(call)
    if len(call.arguments) == 2:
        entry = lists.entry(*call.arguments)
        manifests.show(entry if verbose else manifests.parsed(entry))
        return
    name = call.arguments[0]
    if lists.has(name):
        entries = lists.entries(name)
        if verbose:
            manifests.show(entries)
        else:
            print(manifests.document(entries)[1].decode())
        return
    found = manifests.fetch(call, name, verbose=verbose)
    if not verbose:
        if "Manifests" in found:
            print(manifests.pretty_list(found))
        else:
            manifests.show(manifests.parsed(found))
    elif "Manifests" in found:
        manifests.show([manifests.entry_of(each) for each in found["Manifests"]])
    else:
        manifests.show(manifests.entry_of(found))


COMMAND = Command(
    run,
    "[OPTIONS] [MANIFEST_LIST] MANIFEST",
    """
        --insecure  Allow communication with an insecure registry
    -v, --verbose   Output additional info including layers and platform
    """,
    least=1,
    most=2,
)
