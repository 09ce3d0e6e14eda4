"""``corten image diff``: what each layer of an image changes, or all of an image against another."""

from __future__ import annotations

from corten.cli.command import Call, Command
from corten.cli.output import listing, sizes
from corten.client.session import quote

_LETTERS = {0: "C", 1: "A", 2: "D"}


def run(call: Call) -> None:
    """Print a line for each path; ahead of them the layer, where layers are shown."""
    name, *other = call.arguments
    wanted = other[0] if other else name
    rows = call.session.get(f"/corten/images/{quote(wanted, '/:@')}/changes", {"since": name if other else ""})
    for row in rows:
        if row["Layer"]:
            step = listing.ellipsis(" ".join(str(row["CreatedBy"]).split()), 80)
            print(f"{listing.short_id(row['Layer'])}  {sizes.human(row['Size']):>7}  {step}".rstrip())
        indent = "  " if row["Layer"] else ""
        for change in row["Changes"]:
            print(f"{indent}{_LETTERS[change['Kind']]} {change['Path']}")


COMMAND = Command(run, "IMAGE [OTHER]", "", least=1, most=2)
