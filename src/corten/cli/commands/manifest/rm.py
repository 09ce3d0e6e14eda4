"""``corten manifest rm``: forget lists that were begun here."""

from __future__ import annotations

from corten.cli import manifests
from corten.cli.command import Call, Command


def run(call: Call) -> int:
    """Remove each."""
    lists = manifests.lists(call)
    return call.for_each(lambda name: lists.remove(manifests.full(name)), show=False)


COMMAND = Command(run, "MANIFEST_LIST [MANIFEST_LIST...]", least=1)
