"""``corten system check``: verify every record, blob and layer; exit status 1 if anything is wrong."""

from __future__ import annotations

import json

from corten.cli.command import Call, Command


def run(call: Call) -> int:
    """Have the daemon look, say what it found."""
    options = call.options
    query = {"quick": options.on("quick"), "repair": options.on("repair")}
    found = call.session.post("/corten/store/check", query)
    faults = found["Faults"]
    if options.text("format") == "json":
        print(json.dumps(found))
        return 1 if faults else 0
    for digest in found["Repaired"]:
        print(f"removed the corrupt blob {digest}")
    for fault in faults:
        print(f"{fault['Subject']}: {fault['Problem']}")
        if fault["Hint"]:
            print(f"    {fault['Hint']}")
    if not options.on("quiet"):
        verdict = f"{len(faults)} faults" if len(faults) > 1 else "1 fault" if faults else "no fault"
        depth = "every byte" if found["Deep"] else "records only"
        numbers = f"{found['Images']} images, {found['Snapshots']} snapshots, {found['Blobs']} blobs"
        print(f"Checked {numbers} ({depth}): {verdict}")
    return 1 if faults else 0


COMMAND = Command(
    run,
    "[OPTIONS]",
    """
        --format=string      Format output: 'json'
        --quick              Check records only, read no blob and no layer
    -q, --quiet              Only show faults
        --repair             Remove corrupt blobs, so that they are pulled or made again
    """,
    most=0,
)
