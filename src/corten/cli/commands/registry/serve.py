"""``corten registry serve``: a registry on this machine.

The registry is a program of the daemon's half; this command starts it with the same words and stays out of its way.
"""

from __future__ import annotations

import os
import sys

from corten.cli.command import Call, Command


def run(call: Call) -> int:
    """Become the registry's program."""
    words = [sys.executable, "-m", "corten.registry", call.path.partition(" ")[2], *call.arguments]
    if os.name == "posix":
        sys.stdout.flush()
        os.execv(sys.executable, words)
    import subprocess

    return subprocess.call(words)


COMMAND = Command(run, "[OPTIONS]", raw=True)
