"""``corten system budget``: what would be removed so that the disk's limits hold, and why; or remove it now."""

from __future__ import annotations

import json
from typing import Any

from corten.cli import confirm
from corten.cli.command import Call, Command
from corten.cli.output import ages, listing, sizes
from corten.errors import Invalid

HEADERS = {"Kind": "KIND", "Name": "NAME", "Size": "SIZE", "Used": "LAST USED", "Verdict": "", "Reason": "REASON"}
COLUMNS = ("Verdict", "Kind", "Name", "Size", "Used", "Reason")


def run(call: Call) -> int:
    """Show the plan; with ``--apply`` do it."""
    options = call.options
    query = {name: str(options.size(name)) for name in ("ceiling", "floor") if options.given(name)}
    form = options.text("format")
    if form not in ("", "json"):
        raise Invalid(f"unknown format {form!r}: it may be 'json'")
    if options.on("apply"):
        confirm.proceed(call, "WARNING! This will remove what the disk budget says.  Try it without --apply first.\n")
        found = call.session.post("/corten/store/budget", query)
    else:
        found = call.session.get("/corten/store/budget", query)
    if form == "json":
        print(json.dumps(found))
    else:
        _show(found, done=options.on("apply"), all=options.on("all"))
    return 1 if found["Missing"] else 0


def _show(found: dict[str, Any], *, done: bool, all: bool) -> None:
    lines = [line for line in found["Lines"] if all or line["Remove"]]
    if lines:
        listing.show([_row(line, done=done) for line in lines], HEADERS, COLUMNS)
        print()
    used = ", ".join(f"{kind} {sizes.human(size)}" for kind, size in found["Usage"].items() if size)
    print(f"Used: {sizes.human(found['Used'])} ({used or 'nothing'}); free on the disk: {sizes.human(found['Free'])}")
    ceiling, floor = found["Ceiling"], found["Floor"]
    if not ceiling and not floor:
        print("There is no budget: see --disk-budget and --disk-free-floor of cortend, or try --ceiling and --floor")
        return
    print(f"Ceiling: {sizes.human(ceiling) if ceiling else 'none'}; floor: {sizes.human(floor) if floor else 'none'}")
    verb = "Freed" if done else "Would free"
    print(f"Too much by {sizes.human(found['Excess'])}.  {verb}: {sizes.human(found['Reclaim'])}")
    if found["Missing"]:
        print(f"{sizes.human(found['Missing'])} more would have to go, and nothing else may")


def _row(line: dict[str, Any], *, done: bool) -> listing.Row:
    verdict = ("removed" if done else "remove") if line["Remove"] else "keep"
    return {
        "Verdict": verdict,
        "Kind": line["Kind"],
        "Name": listing.ellipsis(line["Name"], 50),
        "Size": sizes.human(line["Size"]),
        "Used": ages.ago(line["Used"]) if line["Used"] else "",
        "Reason": line["Reason"],
    }


COMMAND = Command(
    run,
    "[OPTIONS]",
    """
    -a, --all                Show also what stays, and why
        --apply              Remove now
        --ceiling=bytes      What everything may take, instead of the daemon's --disk-budget
        --floor=bytes        What shall be free, instead of the daemon's --disk-free-floor
    -f, --force              Do not prompt for confirmation
        --format=string      Format output: 'json'
    """,
    most=0,
)
