"""``corten top``: the processes of a container."""

from __future__ import annotations

from corten.cli.command import Call, Command
from corten.cli.output import tabular
from corten.client import paths


def run(call: Call) -> None:
    """Show what ps says of a container's processes."""
    name, *arguments = call.arguments
    answer = call.session.get(paths.container(name, "/top"), {"ps_args": " ".join(arguments)})
    rows = [answer["Titles"], *(answer["Processes"] or [])]
    print("\n".join(tabular.align(["\t".join(row) for row in rows], least=20, padding=3)))


COMMAND = Command(run, "CONTAINER [ps OPTIONS]", least=1, interspersed=False)
