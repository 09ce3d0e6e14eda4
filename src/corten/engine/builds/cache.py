"""The build cache: what the builder remembers of steps, how much it holds, and what a prune takes.

Owns: the facts of kind ``build-cache`` and the directories of cache mounts.  The layers that records name belong to the
images; a record whose layer is gone is no hit and goes with the next prune.

Layers that no image has are kept for a week after their last use (kept_layers() tells the collector): the stages of a
multi-stage build are such.

A use is counted in memory and written down when the build ends: a lookup must not cost a transaction.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corten.api import patterns, times
from corten.api.filters import Filters
from corten.errors import Invalid
from corten.store.facts import Facts
from corten.store.tree import count_tree

KIND = "build-cache"
REGULAR, MOUNT = "regular", "exec.cachemount"
KEPT_SECONDS = 7 * 24 * 3600.0
PRUNE_FILTERS = frozenset({"until", "unused-for", "id", "parent", "type", "description", "inuse", "shared", "private"})


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that the cache holds: a step's layer with its records, or the directory of a cache mount."""

    id: str
    type: str
    description: str
    size: int
    created: float
    used: float
    uses: int
    is_shared: bool
    keys: tuple[str, ...] = ()
    chain: str = ""
    in_use: bool = False

    def to_json(self) -> dict[str, Any]:
        """A row of ``BuildCache``."""
        return {
            "ID": self.id,
            "Parents": None,
            "Type": self.type,
            "Description": self.description,
            "InUse": self.in_use,
            "Shared": self.is_shared,
            "Size": self.size,
            "CreatedAt": times.rfc3339(self.created),
            "LastUsedAt": times.rfc3339(self.used),
            "UsageCount": self.uses,
        }


class StepRecords:
    """The Cache port of the builder."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._used: dict[str, int] = {}

    def lookup(self, key: str) -> Mapping[str, Any] | None:
        """What is known under a key."""
        found = self._facts.get(KIND, key)
        if found is None:
            return None
        body: Mapping[str, Any] = found["body"]
        if body.get("chain"):  # nobody asks when a step without a layer was last used
            self._used[key] = self._used.get(key, 0) + 1
        return body

    def store(self, key: str, record: Mapping[str, Any]) -> None:
        """Remember."""
        now = time.time()
        self._facts.put(KIND, key, {"body": dict(record), "created": now, "used": now, "uses": 0})

    def flush(self) -> None:
        """Write down what was used since the last time."""
        used, self._used = self._used, {}
        if not used:
            return
        with self._facts.transaction():
            for key, count in used.items():
                if (found := self._facts.get(KIND, key)) is not None:
                    self._facts.put(KIND, key, {**found, "used": time.time(), "uses": found.get("uses", 0) + count})


class Sources:
    """The Cache port where ``cachefrom`` names the images that may be used, and no others."""

    def __init__(self, records: StepRecords, images: Collection[str], chains: Collection[str]) -> None:
        self._records = records
        self._images = images
        self._chains = chains

    def lookup(self, key: str) -> Mapping[str, Any] | None:
        """What is known under a key, if one of the images has it."""
        found = self._records.lookup(key)
        if found is None or (found.get("image") not in self._images and found.get("chain") not in self._chains):
            return None
        return found

    def store(self, key: str, record: Mapping[str, Any]) -> None:
        """Remember."""
        self._records.store(key, record)


class BuildCache:
    """All that the cache holds."""

    def __init__(
        self,
        facts: Facts,
        mounts: Path,
        chains: Callable[[], set[str]],
        *,
        exists: Callable[[str], bool] = lambda _: True,
        in_use: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._facts = facts
        self._mounts = mounts
        self._chains = chains
        self._exists = exists
        self._in_use = in_use

    def entries(self) -> list[Entry]:
        """The least recently used first."""
        return sorted([*self._layers(), *self._directories()], key=lambda entry: entry.used)

    def _layers(self) -> Iterator[Entry]:
        """One entry a layer, whatever the number of keys that lead to it."""
        held = self._chains()
        by_chain: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        for key, fact in self._facts.items(KIND).items():
            if chain := fact["body"].get("chain"):
                by_chain.setdefault(str(chain), []).append((key, fact))
        for chain, found in by_chain.items():
            if not self._exists(chain):
                continue  # went with its image: no hit any more, and no bytes
            facts = [fact for _, fact in found]
            yield Entry(
                id=chain.removeprefix("sha256:")[:25],
                type=REGULAR,
                description=f"layer {facts[0]['body'].get('diff_id', chain)}",
                size=int(facts[0]["body"].get("size", 0)),
                created=min(fact["created"] for fact in facts),
                used=max(fact["used"] for fact in facts),
                uses=sum(fact["uses"] for fact in facts),
                is_shared=chain in held,
                keys=tuple(key for key, _ in found),
                chain=chain,
            )

    def _directories(self) -> Iterator[Entry]:
        if not self._mounts.is_dir():
            return
        for path in sorted(self._mounts.iterdir()):
            used = path.stat().st_mtime
            size, _ = count_tree(path)
            description, in_use = f"cache mount {path.name[:12]}", self._in_use(path.name)
            yield Entry(path.name[:25], MOUNT, description, size, used, used, 1, False, in_use=in_use)

    def kept_layers(self) -> set[str]:
        """The chain IDs of layers that a collection spares."""
        since = time.time() - KEPT_SECONDS
        facts = self._facts.items(KIND).values()
        return {str(fact["body"]["chain"]) for fact in facts if fact["body"].get("chain") and fact["used"] > since}

    def prune(self, filters: Filters, *, all: bool, keep: int, ceiling: int, floor: int) -> tuple[list[str], int]:
        """Forget the least recently used; ids and bytes.  Without ``all`` what images share stays known.

        ``keep`` bytes are left in any case; with ``ceiling`` or ``floor`` only as much goes as that takes.
        """
        wanted = _Wanted(filters)
        chosen = [
            entry
            for entry in self.entries()
            if wanted.keeps(entry) and (all or not entry.is_shared) and not entry.in_use
        ]
        total = sum(entry.size for entry in self.entries() if not entry.is_shared)
        free = shutil.disk_usage(self._facts_root()).free
        gone, reclaimed = [], 0
        for entry in chosen:
            left = total - reclaimed
            if keep and left - (0 if entry.is_shared else entry.size) < keep:
                break
            if (ceiling or floor) and left <= (ceiling or left) and free + reclaimed >= floor:
                break
            self.forget(entry)
            gone.append(entry.id)
            reclaimed += 0 if entry.is_shared else entry.size
        if all and not filters and not keep and not ceiling and not floor:
            self._forget_places()
        return gone, reclaimed

    def _facts_root(self) -> Path:
        return self._mounts if self._mounts.is_dir() else self._mounts.parent

    def forget(self, entry: Entry) -> None:
        """Forget one entry; the bytes of a layer go with the next collection."""
        if entry.type == MOUNT:
            for path in self._mounts.glob(f"{entry.id}*"):
                shutil.rmtree(path, ignore_errors=True)
            return
        with self._facts.transaction():
            for key in entry.keys:
                self._facts.delete(KIND, key)

    def _forget_places(self) -> None:
        """Records without a layer: configuration steps, and what explains a miss."""
        with self._facts.transaction():
            for key in self._facts.items(KIND):
                self._facts.delete(KIND, key)


class _Wanted:
    """The filters of one prune, read once."""

    def __init__(self, filters: Filters) -> None:
        filters.only(PRUNE_FILTERS)
        self._filters = filters
        self._until = times.until((*filters.get("until"), *filters.get("unused-for")))
        for name in ("inuse", "shared", "private"):
            if len(filters.get(name)) > 1:
                raise Invalid(f"invalid filter '{name}': only one value is expected")

    def keeps(self, entry: Entry) -> bool:
        filters = self._filters
        if self._until is not None and entry.used > self._until:
            return False
        if "shared" in filters and entry.is_shared != filters.flag("shared", True):
            return False
        if "private" in filters and entry.is_shared == filters.flag("private", True):
            return False
        if "inuse" in filters and entry.in_use != filters.flag("inuse", True):
            return False
        return (
            filters.prefix("id", entry.id)
            and filters.exact("type", entry.type)
            and patterns.fits(filters, "description", entry.description)
            and not filters.get("parent")
        )
