"""The build cache as Control tells it, and prunes of it.  Translation only; the cache is ../cache.py."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from corten.api import times
from corten.api.filters import Filters
from corten.buildkit.messages.control import PruneRequest, UsageRecord
from corten.buildkit.messages.shared import Timestamp
from corten.engine.builds.service import BuildService


def records(rows: Iterable[Mapping[str, Any]]) -> list[UsageRecord]:
    """Rows of GET /system/df as records."""
    return [
        UsageRecord(
            id=row["ID"],
            in_use=row["InUse"],
            size=row["Size"],
            created=_time(row["CreatedAt"]),
            last_used=_time(row["LastUsedAt"]),
            usage_count=row["UsageCount"],
            description=row["Description"],
            record_type=row["Type"],
            shared=row["Shared"],
        )
        for row in rows
    ]


def pruned(builds: BuildService, request: PruneRequest) -> Sequence[UsageRecord]:
    """Prune; what went."""
    filters: dict[str, list[str]] = {}
    for entry in request.filter:
        for part in filter(None, entry.split(",")):
            name, _, value = part.partition("==")
            filters.setdefault(name, []).append(value or "true")
    if request.keep_duration:
        filters["until"] = [f"{request.keep_duration // 10**9}s"]
    before = {row["ID"]: row for row in builds.usage()}
    gone, _ = builds.prune(
        Filters({name: tuple(values) for name, values in filters.items()}),
        all=request.all,
        keep=request.reserved_space,
        ceiling=request.max_used_space,
        floor=request.min_free_space,
    )
    return records(before[name] for name in gone if name in before)


def _time(text: str) -> Timestamp:
    return Timestamp.of(int(times.seconds_of(text) * 1e9))
