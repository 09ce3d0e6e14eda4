"""``corten context inspect``: all that is known of contexts."""

from __future__ import annotations

import os
from typing import Any

from corten.cli import inspection
from corten.cli.command import Call, Command
from corten.client import address, contexts


def run(call: Call) -> int:
    """Inspect each, or the one in use."""
    if not call.arguments:
        call.arguments.append(call.connection.context())
    return inspection.show(call, lambda name: _describe(call, name))


def _describe(call: Call, name: str) -> dict[str, Any]:
    folder = call.connection.folder
    if name == contexts.DEFAULT:
        here = address.from_environment(os.environ, folder) or address.default()
        context = contexts.Context(name, str(here))
    else:
        context = contexts.get(folder, name)
    files = sorted(os.listdir(context.folder)) if context.folder else []
    return {
        "Name": name,
        "Metadata": {"Description": context.description} if context.description else {},
        "Endpoints": {"docker": {"Host": context.host, "SkipTLSVerify": context.skip_verify}},
        "TLSMaterial": {"docker": files} if files else {},
    }


COMMAND = Command(run, "[OPTIONS] [CONTEXT] [CONTEXT...]", inspection.FLAGS)
