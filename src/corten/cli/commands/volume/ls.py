"""``corten volume ls``: list volumes."""

from __future__ import annotations

from typing import Any

from corten.cli import values
from corten.cli.command import Call, Command
from corten.cli.output import listing, order, sizes
from corten.errors import NotImplementedYet

HEADERS = {
    "Availability": "AVAILABILITY",
    "Driver": "DRIVER",
    "Group": "GROUP",
    "Labels": "LABELS",
    "Links": "LINKS",
    "Mountpoint": "MOUNTPOINT",
    "Name": "VOLUME NAME",
    "Scope": "SCOPE",
    "Size": "SIZE",
    "Status": "STATUS",
}
COLUMNS = ("Driver", "Name")


def run(call: Call) -> None:
    """Ask for the list and show it."""
    options = call.options
    if options.on("cluster"):
        raise NotImplementedYet("there are no cluster volumes in Corten")
    answer = call.session.get("/volumes", {"filters": values.filters(options.many("filter"))})
    form = options.text("format")
    if not form and not options.on("quiet"):
        form = call.config.text("volumesFormat")
    found = sorted(answer.get("Volumes") or (), key=lambda item: order.natural(str(item["Name"])))
    listing.show(
        [row(item) for item in found],
        HEADERS,
        COLUMNS,
        form,
        quiet="Name" if options.on("quiet") else "",
        kind="formatter.volumeContext",
    )


def row(item: dict[str, Any]) -> listing.Row:
    """A volume of the API as the fields of a listing."""
    labels: dict[str, str] = item.get("Labels") or {}
    usage = item.get("UsageData")
    return {
        "Availability": "N/A",
        "Driver": item["Driver"],
        "Group": "N/A",
        "Label": lambda name: labels.get(name, ""),
        "Labels": listing.label_text(labels),
        "Links": str(usage["RefCount"]) if usage else "N/A",
        "Mountpoint": item["Mountpoint"],
        "Name": item["Name"],
        "Scope": item["Scope"],
        "Size": sizes.human(usage["Size"], 4) if usage and usage["Size"] >= 0 else "N/A",
        "Status": "N/A",
    }


COMMAND = Command(
    run,
    "[OPTIONS]",
    """
        --cluster            Display only cluster volumes, and use cluster volume list formatting
    -f, --filter=filter      Provide filter values (e.g. "dangling=true")
        --format=string      Format output: 'table', 'table TEMPLATE', 'json', or a Go template
    -q, --quiet              Only display volume names
    """,
    most=0,
)
