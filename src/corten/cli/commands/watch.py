"""``corten watch``: containers that the daemon replaces when their image's tag moves in its registry."""

from __future__ import annotations

from typing import Any

from corten.cli.command import Call, Command
from corten.cli.output import ages, listing

HEADERS = {
    "Bad": "BAD",
    "Checked": "CHECKED",
    "Digest": "DIGEST",
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Latest": "LATEST",
    "Name": "NAME",
    "Result": "RESULT",
}
COLUMNS = ("Name", "Image", "Digest", "Latest", "Checked", "Result")


def run(call: Call) -> int:
    """List them, or have the daemon look now and wait for what comes of it."""
    options = call.options
    verb, *names = call.arguments or ["ls"]
    if verb in ("ls", "list") and not names:
        found = call.session.get("/corten/watch")
    elif verb == "now":
        query = {"container": names, "retry": options.on("retry")}
        found = call.session.post("/corten/watch/check", query)
    else:
        raise call.usage_error(f"'corten watch' takes 'ls', or 'now' and names of containers, not '{verb}'")
    containers = found.get("Containers") or []
    whole = options.on("no-trunc")
    rows = [_row(item, whole=whole) for item in containers]
    listing.show(rows, HEADERS, COLUMNS, options.text("format"), quiet="Name" if options.on("quiet") else "")
    return 0 if verb != "now" or all(item.get("Result") in _GOOD for item in containers) else 1


_GOOD = ("up to date", "updated")


def _row(item: dict[str, Any], *, whole: bool) -> listing.Row:
    checked = ages.parse(str(item.get("Checked") or ""))
    result = str(item.get("Result") or "").replace("\n", " ")
    return {
        "Bad": _digest(item.get("Bad"), whole=whole),
        "Checked": ages.ago(checked) if checked else "never",
        "Digest": _digest(item.get("Digest"), whole=whole),
        "ID": str(item["Id"]) if whole else listing.short_id(str(item["Id"])),
        "Image": str(item.get("Image") or ""),
        "Latest": _digest(item.get("Latest"), whole=whole),
        "Name": str(item.get("Name") or ""),
        "Result": result if whole else listing.ellipsis(result, 60),
    }


def _digest(text: Any, *, whole: bool) -> str:
    return str(text or "") if whole else listing.short_id(str(text or ""))


COMMAND = Command(
    run,
    "[OPTIONS] [ls | now [CONTAINER...]]",
    """
        --format=string      Format output: 'table', 'table TEMPLATE', 'json', or a Go template
        --no-trunc           Don't truncate output
    -q, --quiet              Only show names
        --retry              With 'now': try also what was tried, failed and rolled back
    """,
)
