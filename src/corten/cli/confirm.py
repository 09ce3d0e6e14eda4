"""The question before something is removed.

Owns: the prompt and what counts as yes.
"""

from __future__ import annotations

import sys

from corten.cli.command import Call, Exit


def proceed(call: Call, warning: str) -> None:
    """Go on if ``--force`` was given or the user says yes; leave otherwise."""
    if call.options.on("force"):
        return
    print(f"{warning}\nAre you sure you want to continue? [y/N] ", end="", flush=True)
    answer = sys.stdin.readline()
    if answer.strip().lower() not in ("y", "yes"):
        # docker: to change one's mind is no failure
        raise Exit(0)
