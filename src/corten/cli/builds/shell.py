"""``--debug``: a shell in the state before or after the step that failed.

Owns: asking which, running it, removing the state that the daemon kept for it.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from corten.cli.command import Call
from corten.client import paths
from corten.errors import CortenError


def offer(call: Call, kept: dict[str, Any]) -> None:
    """Open a shell where there is a terminal; in any case say where the states are."""
    before, after = str(kept.get("before") or ""), str(kept.get("after") or "")
    if not after:
        print("There is no state to look at: the step had no base image.", file=sys.stderr)
        return
    if not sys.stdin.isatty():
        print(f"The state before the step is {before}, after it {after}: corten run -it IMAGE sh", file=sys.stderr)
        return
    print(f"The step failed: {kept.get('command')}", file=sys.stderr)
    try:
        while (choice := _ask()) != "q":
            _shell(call, before if choice == "b" else after, kept)
    finally:
        if after != before:
            with contextlib.suppress(CortenError):
                call.session.delete(paths.image(after))


def _ask() -> str:
    try:
        print("Shell [a]fter the step, [b]efore it, or [q]uit? ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        return "q"
    return answer.strip().lower()[:1] or ("a" if answer else "q")


def _shell(call: Call, image: str, kept: dict[str, Any]) -> None:
    from corten.cli import main

    words = ["-H", str(call.session.address), "run", "--rm", "-it", "--entrypoint", "/bin/sh"]
    for entry in kept.get("env") or ():
        words += ["-e", str(entry)]
    if kept.get("cwd"):
        words += ["-w", str(kept["cwd"])]
    if kept.get("user"):
        words += ["-u", str(kept["user"])]
    main.main([*words, image])
