"""``corten system df``: what takes the disk, and what of it could be freed."""

from __future__ import annotations

from typing import Any

from corten.cli.command import Call, Command
from corten.cli.commands import ps
from corten.cli.commands.image import ls as images
from corten.cli.commands.volume import ls as volumes
from corten.cli.output import ages, listing, sizes, tabular

HEADERS = {
    "Active": "ACTIVE",
    "Reclaimable": "RECLAIMABLE",
    "Size": "SIZE",
    "TotalCount": "TOTAL",
    "Type": "TYPE",
}
COLUMNS = ("Type", "TotalCount", "Active", "Size", "Reclaimable")
_LIVE = frozenset({"running", "paused", "restarting"})

Items = list[dict[str, Any]]


def run(call: Call) -> None:
    """Ask once, show the summary or every item."""
    usage = call.session.get("/system/df")
    if call.options.on("verbose"):
        _verbose(usage)
        return
    listing.show(summary(usage), HEADERS, COLUMNS, call.options.text("format"), kind="formatter.diskUsageContext")


def summary(usage: dict[str, Any]) -> list[listing.Row]:
    """A row for each kind of thing."""
    found: Items = usage.get("Images") or []
    total = int(usage.get("LayersSize") or 0)
    used = sum(
        item["Size"] - item["SharedSize"]
        for item in found
        if item.get("Containers") and item["Size"] != -1 and item.get("SharedSize", -1) != -1
    )
    containers: Items = usage.get("Containers") or []
    stores: Items = usage.get("Volumes") or []
    cache: Items = usage.get("BuildCache") or []
    live = [item for item in containers if item.get("State") in _LIVE]
    held = [item for item in stores if _references(item)]
    written = sum(item.get("SizeRw") or 0 for item in containers)
    stored = sum(max(0, _stored(item)) for item in stores)
    cached = sum(item.get("Size") or 0 for item in cache if not item.get("Shared"))
    busy = sum(item.get("Size") or 0 for item in cache if item.get("InUse") and not item.get("Shared"))
    alive = sum(item.get("SizeRw") or 0 for item in live)
    return [
        _row("Images", len(found), sum(1 for item in found if item.get("Containers")), total, total - used),
        _row("Containers", len(containers), len(live), written, written - alive),
        _row("Local Volumes", len(stores), len(held), stored, stored - sum(max(0, _stored(item)) for item in held)),
        _row("Build Cache", len(cache), sum(1 for i in cache if i.get("InUse")), cached, cached - busy, share=False),
    ]


def _row(kind: str, count: int, active: int, size: int, free: int, *, share: bool = True) -> listing.Row:
    text = sizes.human(free, 4)
    return {
        "Active": str(active),
        "Reclaimable": f"{text} ({free * 100 // size}%)" if share and size > 0 else text,
        "Size": sizes.human(size, 4),
        "TotalCount": str(count),
        "Type": kind,
    }


def _references(volume: dict[str, Any]) -> int:
    return int((volume.get("UsageData") or {}).get("RefCount") or 0)


def _stored(volume: dict[str, Any]) -> int:
    return int((volume.get("UsageData") or {}).get("Size") or 0)


def _verbose(usage: dict[str, Any]) -> None:
    found: Items = usage.get("Images") or []
    pictures = [
        {**row, "Containers": str(item.get("Containers", 0))}
        for item in found
        for row in images.rows(item, whole=False)
    ]
    title = ("Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers")
    print("Images space usage:\n\n" + _table(pictures, images.HEADERS, title))
    title = ("ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names")
    boxes = [
        {**ps.row(item, whole=False), "Size": sizes.human(item.get("SizeRw") or 0)}
        for item in usage.get("Containers") or ()
    ]
    print("\nContainers space usage:\n\n" + _table(boxes, ps.HEADERS, title))
    stores = [volumes.row(item) for item in usage.get("Volumes") or ()]
    print("\nLocal Volumes space usage:\n\n" + _table(stores, volumes.HEADERS, ("Name", "Links", "Size")))
    cache: Items = usage.get("BuildCache") or []
    total = sum(item.get("Size") or 0 for item in cache if not item.get("Shared"))
    print(f"\nBuild cache usage: {sizes.human(total, 4)}\n")
    heads = ["CACHE ID", "CACHE TYPE", "SIZE", "CREATED", "LAST USED", "USAGE", "SHARED"]
    lines = [heads, *(_cache_line(item) for item in cache)]
    print("\n".join(tabular.align(["\t".join(line) for line in lines])))


def _cache_line(item: dict[str, Any]) -> list[str]:
    used = ages.parse(str(item.get("LastUsedAt") or ""))
    mark = "*" if item.get("InUse") else ""
    return [
        str(item["ID"])[:12] + mark,
        str(item.get("Type") or ""),
        sizes.human(item.get("Size") or 0),
        ages.ago(ages.parse(str(item.get("CreatedAt") or ""))),
        ages.ago(used) if used else "",
        str(item.get("UsageCount") or 0),
        str(bool(item.get("Shared"))).lower(),
    ]


def _table(rows: list[Any], headers: dict[str, str], columns: tuple[str, ...]) -> str:
    lines = [[headers[name] for name in columns], *([str(row[name]) for name in columns] for row in rows)]
    return "\n".join(tabular.align(["\t".join(cells) for cells in lines]))


COMMAND = Command(
    run,
    "[OPTIONS]",
    """
        --format=string      Format output: 'table', 'table TEMPLATE', 'json', or a Go template
    -v, --verbose            Show detailed information on space usage
    """,
    most=0,
)
