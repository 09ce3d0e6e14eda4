"""``corten images``: list images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from corten.cli import values
from corten.cli.command import Call, Command
from corten.cli.output import ages, listing, sizes

NONE = "<none>"
HEADERS = {
    "Containers": "CONTAINERS",
    "CreatedAt": "CREATED AT",
    "CreatedSince": "CREATED",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "SharedSize": "SHARED SIZE",
    "Size": "SIZE",
    "Tag": "TAG",
    "UniqueSize": "UNIQUE SIZE",
    "VirtualSize": "SIZE",
}
COLUMNS = ("Repository", "Tag", "ID", "CreatedSince", "Size")
WITH_DIGESTS = ("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size")


def run(call: Call) -> int:
    """Ask for the list and show it."""
    options = call.options
    if options.on("tree"):
        from corten.cli.commands.image import tree

        tree.run(call)
        return 0
    filters = values.filters(options.many("filter"))
    if call.arguments:
        filters.setdefault("reference", {})[call.arguments[0]] = True
    found = call.session.get("/images/json", {"all": options.on("all"), "filters": filters})
    form = options.text("format")
    if not form and not options.on("quiet"):
        form = call.config.text("imagesFormat")
    digests = options.on("digests")
    whole = options.on("no-trunc")
    by_reference = bool(filters.get("reference"))
    listing.show(
        [row for item in found for row in rows(item, whole=whole, digests=digests, by_reference=by_reference)],
        HEADERS,
        WITH_DIGESTS if digests else COLUMNS,
        form,
        quiet="ID" if options.on("quiet") else "",
        kind="formatter.imageContext",
    )
    return 0


def rows(
    item: dict[str, Any], *, whole: bool, digests: bool = False, by_reference: bool = False
) -> Iterator[listing.Row]:
    """An image of the API as rows: one for each of its names."""
    for repository, tag, digest in _names(item, digests=digests, by_reference=by_reference):
        yield {
            "Containers": _count(item.get("Containers", -1)),
            "CreatedAt": ages.local(item["Created"]),
            "CreatedSince": ages.ago(item["Created"]) if item["Created"] > 0 else "N/A",
            "Digest": digest,
            "ID": item["Id"] if whole else listing.short_id(item["Id"]),
            "Repository": repository,
            "SharedSize": _shared(item.get("SharedSize", -1)),
            "Size": sizes.human(item["Size"]),
            "Tag": tag,
            "UniqueSize": _unique(item),
            "VirtualSize": sizes.human(item["Size"], 4),
        }


def _names(item: dict[str, Any], *, digests: bool, by_reference: bool) -> Iterator[tuple[str, str, str]]:
    tagged: dict[str, list[str]] = {}
    for name in item.get("RepoTags") or ():
        repository, _, tag = name.rpartition(":")
        if repository != NONE:
            tagged.setdefault(repository, []).append(tag)
    digested: dict[str, list[str]] = {}
    for name in item.get("RepoDigests") or ():
        repository, _, digest = name.partition("@")
        if repository != NONE:
            digested.setdefault(repository, []).append(digest)
    if not tagged and not digested and not by_reference:
        yield NONE, NONE, NONE
        return
    for repository, tags in tagged.items():
        known = digested.pop(repository, [])
        for tag in tags:
            for digest in (known or [NONE]) if digests else [NONE]:
                yield repository, tag, digest
    for repository, known in digested.items():
        for digest in known if digests else known[:1]:
            yield repository, NONE, digest


def _count(number: int) -> str:
    return "N/A" if number == -1 else str(number)


def _shared(size: int) -> str:
    return "N/A" if size == -1 else sizes.human(size, 4)


def _unique(item: dict[str, Any]) -> str:
    shared = item.get("SharedSize", -1)
    return "N/A" if shared == -1 else sizes.human(item["Size"] - shared, 4)


COMMAND = Command(
    run,
    "[OPTIONS] [REPOSITORY[:TAG]]",
    """
    -a, --all                Show all images (default hides intermediate images)
        --digests            Show digests
    -f, --filter=filter      Filter output based on conditions provided
        --format=string      Format output: 'table', 'table TEMPLATE', 'json', or a Go template
        --no-trunc           Don't truncate output
    -q, --quiet              Only show image IDs
        --tree               Show images by the layers that they share
    """,
    most=1,
)
