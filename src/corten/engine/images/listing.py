"""Which images a list shows, and how much of each is shared.

Owns: Docker's list filters and what counts as dangling.  Pure over the records it is given.
For the shape of a row read view.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from corten.api.filters import Filters
from corten.api.times import moment, seconds_of
from corten.engine.images import platforms, view
from corten.engine.images.patterns import fits
from corten.spec.digest import Digest
from corten.spec.image import chain_ids
from corten.store.images import ImageRecord

FILTERS = frozenset({"dangling", "label", "before", "since", "reference", "until"})

Find = Callable[[str], ImageRecord]


@dataclass(frozen=True, slots=True)
class Listing:
    """What was asked of a list."""

    filters: Filters
    all: bool = False
    shared_size: bool = False
    containers: Mapping[Digest, int] | None = None
    # Images of other platforms, by the one whose name holds them: they have no rows of their own.
    families: Mapping[Digest, Sequence[ImageRecord]] = field(default_factory=dict)


def rows(records: Sequence[ImageRecord], listing: Listing, find: Find, size_of: Callable[[Digest], int]) -> list[Any]:
    """The rows, newest first.  Raises Invalid for filters, NotFound for images that they name."""
    keeps = _Keeps(listing, find)
    parents = {record.parent for record in records if record.parent}
    under = {record.id for family in listing.families.values() for record in family}
    tops = [record for record in records if record.id not in under]
    shown = [kept for record in tops if (kept := keeps.row(record, has_children=record.id in parents))]
    shared = _shared_sizes(records, size_of) if listing.shared_size else {}
    for record, row in shown:
        family = listing.families.get(record.id, ())
        if family:
            platforms.add_up(row, record, family, size_of)
        if listing.shared_size:
            row["SharedSize"] = shared.get(record.id, 0)
        if listing.containers is not None:
            row["Containers"] = sum(listing.containers.get(each.id, 0) for each in (record, *family))
    shown.sort(key=lambda pair: (-seconds_of(pair[0].config.created), str(pair[0].id)))
    return [row for _, row in shown]


class _Keeps:
    """The filters of one request, read once."""

    def __init__(self, listing: Listing, find: Find) -> None:
        filters = listing.filters.only(FILTERS)
        self._filters = filters
        self._all = listing.all
        self._dangling = filters.flag("dangling", False) if "dangling" in filters else None
        before = [seconds_of(find(name).config.created) for name in filters.get("before")]
        before += [moment(text) for text in filters.get("until")]
        since = [seconds_of(find(name).config.created) for name in filters.get("since")]
        self._before = min(before) if before else None
        self._since = max(since) if since else None

    def row(self, record: ImageRecord, *, has_children: bool) -> tuple[ImageRecord, dict[str, Any]] | None:
        created = seconds_of(record.config.created)
        if self._before is not None and created >= self._before:
            return None
        if self._since is not None and created <= self._since:
            return None
        if "label" in self._filters and not self._filters.labels(view.labels_of(record)):
            return None
        row = view.summary(record)
        patterns = self._filters.get("reference")
        if patterns:
            row["RepoTags"] = [ref.familiar() for ref in record.references if any(fits(p, ref) for p in patterns)]
            row["RepoDigests"] = [ref.familiar() for ref in record.repo_digests if any(fits(p, ref) for p in patterns)]
        return (record, row) if self._shows(row, has_children, bool(patterns)) else None

    def _shows(self, row: Mapping[str, Any], has_children: bool, by_name: bool) -> bool:
        if self._dangling and has_children:
            return False
        if row["RepoTags"] or row["RepoDigests"]:
            return not (self._dangling and row["RepoTags"])
        if has_children and not self._all:
            return False
        return self._dangling is not False and not by_name


def _shared_sizes(records: Sequence[ImageRecord], size_of: Callable[[Digest], int]) -> dict[Digest, int]:
    """For each image the bytes of those layers that another image has too."""
    stacks = {record.id: chain_ids(record.config.diff_ids) for record in records}
    uses = Counter(chain for stack in stacks.values() for chain in stack)
    return {image: sum(size_of(chain) for chain in stack if uses[chain] > 1) for image, stack in stacks.items()}
