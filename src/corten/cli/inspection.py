"""What all ``inspect`` commands do: fetch by name, print as an array or through a template, report what is not there.

Owns: the output and the exit status.  A command says how one name is fetched.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from corten.cli.command import Call
from corten.cli.output import values
from corten.errors import CortenError


def show(call: Call, fetch: Callable[[str], Any]) -> int:
    """Inspect each argument; the exit status."""
    form = call.options.text("format")
    render = values.renderer(form) if form else None
    found: list[Any] = []
    problems: list[str] = []
    for name in call.arguments:
        try:
            found.append(fetch(name))
        except CortenError as error:
            problems.append(str(error))
    if render is None:
        print(json.dumps(found, indent=4, ensure_ascii=False))
    else:
        lines: list[str] = []
        for value in found:
            try:
                lines.append(render(value))
            except CortenError as error:
                problems.append(str(error))
        print("\n".join(lines))
    sys.stdout.flush()
    if problems:
        print("\n".join(problems), file=sys.stderr)
    return 1 if problems else 0


FLAGS = """
    -f, --format=string      Format output: 'json' or a Go template
"""
