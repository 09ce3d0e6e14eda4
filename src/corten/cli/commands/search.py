"""``corten search``: find images in a registry."""

from __future__ import annotations

from typing import Any

from corten.cli import values
from corten.cli.command import Call, Command
from corten.cli.output import listing
from corten.client import credentials

HEADERS = {
    "Description": "DESCRIPTION",
    "IsAutomated": "AUTOMATED",
    "IsOfficial": "OFFICIAL",
    "Name": "NAME",
    "StarCount": "STARS",
}
COLUMNS = ("Name", "Description", "StarCount", "IsOfficial")


def run(call: Call) -> None:
    """Ask and show, the most liked first."""
    options = call.options
    term = call.arguments[0]
    limit = options.number("limit") or None
    query = {"term": term, "limit": limit, "filters": values.filters(options.many("filter"))}
    known = credentials.lookup(call.config, credentials.registry_of(term))
    found = call.session.request("GET", "/images/search", query, headers={"X-Registry-Auth": known.header()}).json()
    whole = options.on("no-trunc")
    ordered = sorted(found or (), key=lambda item: -int(item.get("star_count") or 0))
    listing.show(
        [_row(item, whole=whole) for item in ordered],
        HEADERS,
        COLUMNS,
        options.text("format"),
        kind="formatter.searchContext",
    )


def _row(item: dict[str, Any], *, whole: bool) -> listing.Row:
    text = str(item.get("description") or "").replace("\n", " ").replace("\r", " ")
    return {
        "Description": text if whole else listing.ellipsis(text, 45),
        "IsAutomated": "[OK]" if item.get("is_automated") else "",
        "IsOfficial": "[OK]" if item.get("is_official") else "",
        "Name": str(item.get("name") or ""),
        "StarCount": str(item.get("star_count") or 0),
    }


COMMAND = Command(
    run,
    "[OPTIONS] TERM",
    """
    -f, --filter=filter      Filter output based on conditions provided
        --format=string      Format output: 'table', 'table TEMPLATE', 'json', or a Go template
        --limit=int          Max number of search results
        --no-trunc           Don't truncate output
    """,
    least=1,
    most=1,
)
