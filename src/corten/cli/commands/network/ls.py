"""``corten network ls``: list networks."""

from __future__ import annotations

from typing import Any

from corten.cli import values
from corten.cli.command import Call, Command
from corten.cli.output import ages, listing, order

HEADERS = {
    "CreatedAt": "CREATED AT",
    "Driver": "DRIVER",
    "ID": "NETWORK ID",
    "IPv4": "IPV4",
    "IPv6": "IPV6",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
    "Name": "NAME",
    "Scope": "SCOPE",
}
COLUMNS = ("ID", "Name", "Driver", "Scope")


def run(call: Call) -> None:
    """Ask for the list and show it."""
    options = call.options
    found = call.session.get("/networks", {"filters": values.filters(options.many("filter"))})
    form = options.text("format")
    if not form and not options.on("quiet"):
        form = call.config.text("networksFormat")
    found = sorted(found, key=lambda item: order.natural(str(item["Name"])))
    listing.show(
        [_row(item, whole=options.on("no-trunc")) for item in found],
        HEADERS,
        COLUMNS,
        form,
        quiet="ID" if options.on("quiet") else "",
        kind="network.networkContext",
    )


def _row(item: dict[str, Any], *, whole: bool) -> listing.Row:
    labels: dict[str, str] = item.get("Labels") or {}
    return {
        "CreatedAt": _created(item),
        "Driver": item["Driver"],
        "ID": item["Id"] if whole else item["Id"][:12],
        "IPv4": str(bool(item.get("EnableIPv4"))).lower(),
        "IPv6": str(bool(item.get("EnableIPv6"))).lower(),
        "Internal": str(bool(item.get("Internal"))).lower(),
        "Label": lambda name: labels.get(name, ""),
        "Labels": listing.label_text(labels),
        "Name": item["Name"],
        "Scope": item["Scope"],
    }


def _created(item: dict[str, Any]) -> str:
    """Go's printing of a time: to the nanosecond."""
    text = str(item.get("Created") or "")
    day, _, rest = text.partition("T")
    clock = rest.removesuffix("Z")
    return f"{day} {clock} +0000 UTC" if rest.endswith("Z") else ages.local(ages.parse(text)) if text else ""


COMMAND = Command(
    run,
    "[OPTIONS]",
    """
    -f, --filter=filter      Provide filter values (e.g. "driver=bridge")
        --format=string      Format output: 'table', 'table TEMPLATE', 'json', or a Go template
        --no-trunc           Do not truncate the output
    -q, --quiet              Only display network IDs
    """,
    most=0,
)
