"""``corten system exposures``: what of the containers is reachable from outside their networks, and from where."""

from __future__ import annotations

from typing import Any

from corten.cli.command import Call, Command
from corten.cli.output import listing, order
from corten.cli.output.ports import host_port

HEADERS = {
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "Address": "ADDRESS",
    "Port": "CONTAINER PORT",
    "From": "REACHABLE FROM",
    "Through": "THROUGH",
}


def run(call: Call) -> None:
    """One line for each port, or range of ports, of a container."""
    full = call.options.on("no-trunc")
    found = sorted(call.session.get("/corten/exposures"), key=lambda each: order.natural(str(each["Name"])))
    rows = [_row(each, full=full) for each in found]
    listing.show(rows, HEADERS, tuple(HEADERS), call.options.text("format"))


def _row(found: dict[str, Any], *, full: bool) -> listing.Row:
    first, last, inner = found["FirstPort"], found["LastPort"], found["ContainerPort"]
    protocol = found["Protocol"]
    is_open = protocol == "any"
    address = found["HostIp"] or "*"
    if not is_open:
        address = host_port(address, str(first) if first == last else f"{first}-{last}")
    ports = str(inner) if first == last else f"{inner}-{inner + last - first}"
    return {
        "ID": found["Container"] if full else found["Container"][:12],
        "Name": found["Name"],
        "Address": address,
        "Port": "any" if is_open else f"{ports}/{protocol}",
        "From": found["ReachableFrom"],
        "Through": found["Through"],
    }


COMMAND = Command(
    run,
    "[OPTIONS]",
    """
        --format=string      Format output: 'table', 'json', or a Go template
        --no-trunc           Do not truncate output
    """,
    most=0,
)
