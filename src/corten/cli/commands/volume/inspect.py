"""``corten volume inspect``: all that is known of volumes."""

from __future__ import annotations

from corten.cli import inspection
from corten.cli.command import Call, Command
from corten.client import paths


def run(call: Call) -> int:
    """Inspect each."""
    return inspection.show(call, lambda name: call.session.get(paths.volume(name)))


COMMAND = Command(run, "[OPTIONS] VOLUME [VOLUME...]", inspection.FLAGS, least=1)
