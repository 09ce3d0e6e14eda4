"""``corten manifest push``: put a list, and what it lists, at its registry."""

from __future__ import annotations

from corten.cli import manifests
from corten.cli.command import Call, Command
from corten.errors import Invalid


def run(call: Call) -> None:
    """Push one list."""
    name = manifests.full(call.arguments[0])
    lists = manifests.lists(call)
    entries = lists.entries(name)
    for entry in entries:
        platform = entry["Descriptor"].get("platform") or {}
        if not platform.get("architecture") or not platform.get("os"):
            raise Invalid(f"manifest {entry.get('Ref')} must have an OS and Architecture to be pushed to a registry")
    told = manifests.push(call, name, entries)
    repository = name.rpartition(":")[0]
    for digest in told.get("Pushed") or []:
        print(f"Pushed ref {repository}@{digest} with digest: {digest}")
    print(told.get("Digest", ""))
    if call.options.on("purge"):
        lists.remove(name)


COMMAND = Command(
    run,
    "[OPTIONS] MANIFEST_LIST",
    """
        --insecure  Allow push to an insecure registry
    -p, --purge     Remove the local manifest list after push
    """,
    least=1,
    most=1,
)
