"""The values of the disk budget: limits, what there is, and the plan.

Owns: their meaning.  Bytes belong to *parts* (a layer, a blob, a container's own files); *items* are what can be
removed on its own (an image, a container) and share parts.  A part is free when its last item is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

YOUNG = 600.0


class Kind(Enum):
    """What an item is."""

    UNREFERENCED = "unreferenced"
    LOG = "log"
    CONTAINER = "container"
    MOUNT = "cache mount"
    CACHE = "build cache"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Limits:
    """What is wanted.  0 means no limit; what was used within the last ``young`` seconds is never removed."""

    ceiling: int = 0
    floor: int = 0
    young: float = YOUNG

    @property
    def is_on(self) -> bool:
        """Is there any limit?"""
        return bool(self.ceiling or self.floor)

    def excess(self, used: int, free: int) -> int:
        """How many bytes have to go."""
        over = used - self.ceiling if self.ceiling else 0
        return max(0, over, self.floor - free)


@dataclass(frozen=True, slots=True)
class Item:
    """Something that can be removed on its own.  ``pin`` says why it must not be."""

    id: str
    kind: Kind
    name: str
    used: float
    parts: frozenset[str]
    needs: frozenset[str] = frozenset()  # ids of items that must stay as long as this one does
    pin: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is at a moment."""

    items: tuple[Item, ...]
    parts: Mapping[str, int]
    free: int
    at: float

    @property
    def used(self) -> int:
        """Bytes of all parts that some item has."""
        return sum(self.parts[part] for part in self._held())

    def usage(self) -> dict[Kind, int]:
        """Bytes by kind; a part of several kinds counts for the last of Kind that has it."""
        owner: dict[str, Kind] = {}
        order = list(Kind)
        for item in self.items:
            for part in item.parts:
                known = owner.get(part)
                if known is None or order.index(item.kind) > order.index(known):
                    owner[part] = item.kind
        sums = dict.fromkeys(order, 0)
        for part, kind in owner.items():
            sums[kind] += self.parts[part]
        return sums

    def _held(self) -> Iterable[str]:
        return frozenset(part for item in self.items for part in item.parts)


@dataclass(frozen=True, slots=True)
class Line:
    """What becomes of one item: ``size`` is what its removal frees, after those before it in the plan."""

    item: Item
    removes: bool
    size: int
    reason: str

    def to_json(self) -> dict[str, Any]:
        """As the API tells it."""
        return {
            "Kind": self.item.kind.value,
            "ID": self.item.id.partition(":")[2],
            "Name": self.item.name,
            "Used": self.item.used,
            "Remove": self.removes,
            "Size": self.size,
            "Reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What to remove, in order, and then what stays."""

    lines: tuple[Line, ...]
    excess: int

    @property
    def removals(self) -> tuple[Line, ...]:
        """What goes, in order."""
        return tuple(line for line in self.lines if line.removes)

    @property
    def freed(self) -> int:
        """Bytes that the removals free."""
        return sum(line.size for line in self.removals)

    @property
    def missing(self) -> int:
        """Bytes that cannot be freed though the limits want it."""
        return max(0, self.excess - self.freed)
