"""``corten ps``: list containers."""

from __future__ import annotations

from typing import Any

from corten.cli import values
from corten.cli.command import Call, Command
from corten.cli.output import ages, listing, ports, sizes

HEADERS = {
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Labels": "LABELS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Mounts": "MOUNTS",
    "Names": "NAMES",
    "Networks": "NETWORKS",
    "Platform": "PLATFORM",
    "Ports": "PORTS",
    "RunningFor": "CREATED",
    "Size": "SIZE",
    "State": "STATE",
    "Status": "STATUS",
}
COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")


def run(call: Call) -> None:
    """Ask for the list and show it."""
    options = call.options
    last = 1 if options.on("latest") else options.number("last")
    form = options.text("format")
    if not form and not options.on("quiet"):
        form = call.config.text("psFormat")
    with_size = options.on("size")
    query = {
        "all": options.on("all"),
        "limit": last if last > 0 else None,
        "size": with_size or ".Size" in form,
        "filters": values.filters(options.many("filter")),
    }
    found = call.session.get("/containers/json", query)
    whole = options.on("no-trunc")
    columns = (*COLUMNS, "Size") if with_size else COLUMNS
    listing.show(
        [row(item, whole=whole) for item in found],
        HEADERS,
        columns,
        form,
        quiet="ID" if options.on("quiet") else "",
        kind="formatter.ContainerContext",
    )


def row(item: dict[str, Any], *, whole: bool) -> listing.Row:
    """A container of the API as the fields of a listing."""
    labels: dict[str, str] = item.get("Labels") or {}
    command = str(item.get("Command") or "")
    mounts = [str(mount.get("Name") or mount.get("Source") or "") for mount in item.get("Mounts") or ()]
    return {
        "Command": f'"{command if whole else listing.ellipsis(command, 20)}"',
        "CreatedAt": ages.local(item["Created"]),
        "ID": item["Id"] if whole else item["Id"][:12],
        "Image": _image(item, whole=whole),
        "Label": lambda name: labels.get(name, ""),
        "Labels": listing.label_text(labels),
        "LocalVolumes": str(sum(1 for mount in item.get("Mounts") or () if mount.get("Driver") == "local")),
        "Mounts": ",".join(mounts if whole else [listing.ellipsis(name, 15) for name in mounts]),
        "Names": ",".join(_names(item, whole=whole)),
        "Networks": ",".join((item.get("NetworkSettings") or {}).get("Networks") or {}),
        "Platform": _platform(item),
        "Ports": ports.summary(item.get("Ports") or ()),
        "RunningFor": ages.ago(item["Created"]),
        "Size": _size(item),
        "State": str(item.get("State") or ""),
        "Status": str(item.get("Status") or ""),
    }


def _image(item: dict[str, Any], *, whole: bool) -> str:
    name = str(item.get("Image") or "")
    if not name:
        return "<no image>"
    if not whole:
        if name.startswith("sha256:") and name == item.get("ImageID"):
            return listing.short_id(name)
        # docker: a digest is left out of the name, and a bare id is cut
        return name.partition("@")[0] if "@" in name else name
    return name


def _names(item: dict[str, Any], *, whole: bool) -> list[str]:
    names = [str(name).removeprefix("/") for name in item.get("Names") or ()]
    return names if whole else [name for name in names if "/" not in name]


def _platform(item: dict[str, Any]) -> str:
    platform = (item.get("ImageManifestDescriptor") or {}).get("platform") or {}
    parts = (platform.get("os"), platform.get("architecture"), platform.get("variant"))
    return "/".join(str(part) for part in parts if part)


def _size(item: dict[str, Any]) -> str:
    text = sizes.human(item.get("SizeRw") or 0)
    if item.get("SizeRootFs"):
        text += f" (virtual {sizes.human(item['SizeRootFs'])})"
    return text


COMMAND = Command(
    run,
    "[OPTIONS]",
    """
    -a, --all                Show all containers (default shows just running)
    -f, --filter=filter      Filter output based on conditions provided
        --format=string      Format output: 'table', 'table TEMPLATE', 'json', or a Go template
    -n, --last=int(-1)       Show n last created containers (includes all states)
    -l, --latest             Show the latest created container (includes all states)
        --no-trunc           Don't truncate output
    -q, --quiet              Only display container IDs
    -s, --size               Display total file sizes
    """,
    most=0,
)
