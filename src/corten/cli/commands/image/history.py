"""``corten history``: how an image came to be."""

from __future__ import annotations

from typing import Any

from corten.cli import platforms
from corten.cli.command import Call, Command
from corten.cli.output import ages, listing, sizes
from corten.client import paths

HEADERS = {
    "Comment": "COMMENT",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "CreatedSince": "CREATED",
    "ID": "IMAGE",
    "Size": "SIZE",
}
COLUMNS = ("ID", "CreatedSince", "CreatedBy", "Size", "Comment")


def run(call: Call) -> None:
    """Ask for the history and show it."""
    options = call.options
    query = {"platform": platforms.parameter(options.text("platform"))}
    found = call.session.get(paths.image(call.arguments[0], "/history"), query)
    whole, human = options.on("no-trunc"), options.on("human")
    listing.show(
        [_row(item, whole=whole, human=human) for item in found],
        HEADERS,
        COLUMNS if human else ("ID", "CreatedAt", "CreatedBy", "Size", "Comment"),
        options.text("format"),
        quiet="ID" if options.on("quiet") else "",
        kind="formatter.historyContext",
    )


def _row(item: dict[str, Any], *, whole: bool, human: bool) -> listing.Row:
    by = str(item.get("CreatedBy") or "").replace("\t", " ")
    return {
        "Comment": str(item.get("Comment") or ""),
        "CreatedAt": ages.iso(item["Created"]),
        "CreatedBy": by if whole else listing.ellipsis(by, 45),
        "CreatedSince": ages.ago(item["Created"]) if human else ages.iso(item["Created"]),
        "ID": item["Id"] if whole else listing.short_id(item["Id"]),
        "Size": sizes.human(item["Size"]) if human else str(item["Size"]),
    }


COMMAND = Command(
    run,
    "[OPTIONS] IMAGE",
    """
        --format=string      Format output: 'table', 'table TEMPLATE', 'json', or a Go template
    -H, --human=bool(true)   Print sizes and dates in human readable format
        --no-trunc           Don't truncate output
        --platform=string    Show the history of this platform (os[/arch[/variant]])
    -q, --quiet              Only show image IDs
    """,
    least=1,
    most=1,
)
