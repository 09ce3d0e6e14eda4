"""Limits and a survey -> what goes, in which order, and why.  Pure.

Least recently used first.  An item is as recently used as whatever needs it or is made of it: an image that a container
uses is no older than the container, and a base image no older than the build cache on top of it.  What frees nothing is
not removed.  Rests of nobody (Kind.UNREFERENCED) and rotated logs go before anything that somebody could want back.
"""

from __future__ import annotations

from collections import Counter

from corten.engine.budget.model import Item, Kind, Limits, Line, Plan, Survey

FIRST = (Kind.UNREFERENCED, Kind.LOG)
_REMOVED = {
    Kind.UNREFERENCED: "nothing refers to it",
    Kind.LOG: "a rotated log",
    Kind.CONTAINER: "not running, and the least recently used",
    Kind.MOUNT: "the least recently used",
    Kind.CACHE: "no image has it, and the least recently used",
    Kind.IMAGE: "no container uses it, and the least recently used",
}


def plan(survey: Survey, limits: Limits) -> Plan:
    """What to do so that the limits hold; as much as can be done where they cannot."""
    return _Planner(survey, limits).plan()


class _Planner:
    def __init__(self, survey: Survey, limits: Limits) -> None:
        self._survey = survey
        self._limits = limits
        self._items = {item.id: item for item in survey.items}
        self._dependants: dict[str, set[str]] = {id: set() for id in self._items}
        for item in survey.items:
            for need in item.needs:
                if need in self._items:
                    self._dependants[need].add(item.id)
        self._holders = Counter(part for item in survey.items for part in item.parts)
        self._kept = set(self._items)
        self._used = self._effective_uses()

    def plan(self) -> Plan:
        excess = self._limits.excess(self._survey.used, self._survey.free)
        blocked = {item.id: self._block(item) for item in self._survey.items}
        order = sorted(self._survey.items, key=self._rank)
        chosen: list[Item] = []
        left = excess
        waiting = [item for item in order if not blocked[item.id]]
        while left > 0 and (item := self._next(waiting)) is not None:
            waiting.remove(item)
            chosen.append(item)
            left -= self._take(item)
        removed = self._without_useless(chosen)
        lines = self._removals(removed)
        gone = {item.id for item in removed}
        for item in order:
            if item.id not in gone:
                reason = blocked[item.id] or self._spared(excess, left)
                lines.append(Line(item, removes=False, size=self._alone(item), reason=reason))
        return Plan(tuple(lines), excess)

    def _rank(self, item: Item) -> tuple[int, float, str]:
        return (FIRST.index(item.kind) if item.kind in FIRST else len(FIRST), self._used[item.id], item.id)

    def _next(self, waiting: list[Item]) -> Item | None:
        """The first that nothing kept needs."""
        return next((item for item in waiting if not self._dependants[item.id] & self._kept), None)

    def _take(self, item: Item) -> int:
        """Remove; the bytes that are free then."""
        self._kept.discard(item.id)
        freed = 0
        for part in item.parts:
            self._holders[part] -= 1
            if not self._holders[part]:
                freed += self._survey.parts[part]
        return freed

    def _put_back(self, item: Item) -> None:
        self._kept.add(item.id)
        self._holders.update(item.parts)

    def _without_useless(self, chosen: list[Item]) -> list[Item]:
        """Keep after all what frees nothing, the most recently used first."""
        removed = list(chosen)
        for item in reversed(chosen):
            frees = any(not self._holders[part] and self._survey.parts[part] for part in item.parts)
            if not frees and all(need in self._kept for need in item.needs if need in self._items):
                removed.remove(item)
                self._put_back(item)
        return removed

    def _removals(self, removed: list[Item]) -> list[Line]:
        """The lines, with what each frees when its turn comes."""
        for item in removed:
            self._put_back(item)
        return [Line(item, removes=True, size=self._take(item), reason=_REMOVED[item.kind]) for item in removed]

    def _alone(self, item: Item) -> int:
        """What would be free if only this one went too."""
        return sum(self._survey.parts[part] for part in item.parts if self._holders[part] == 1)

    def _spared(self, excess: int, left: int) -> str:
        if not excess:
            return "within the budget" if self._limits.is_on else "there is no budget"
        return "enough is free without it" if left <= 0 else "removing it would free nothing"

    def _block(self, item: Item) -> str:
        """Why it cannot go whatever else goes; empty if it can."""
        if item.pin:
            return item.pin
        if item.kind not in FIRST and self._survey.at - item.used < self._limits.young:
            return "used a moment ago"
        for other in sorted(self._dependants[item.id]):
            if self._block(self._items[other]):
                dependant = self._items[other]
                return f"needed by {dependant.kind.value} {dependant.name}"
        return ""

    def _effective_uses(self) -> dict[str, float]:
        """No item is older than what needs it, nor than what has all its parts."""
        used = {item.id: item.used for item in self._survey.items}
        by_part: dict[str, list[Item]] = {}
        for item in self._survey.items:
            for part in item.parts:
                by_part.setdefault(part, []).append(item)
        for item in self._survey.items:
            layers = frozenset(part for part in item.parts if part.startswith("layer:"))
            rarest = min((by_part[part] for part in layers), key=len, default=[])
            above = [other.used for other in rarest if layers <= other.parts]
            used[item.id] = max([used[item.id], *above])
        pending = list(self._items)
        while pending:
            item = self._items[pending.pop()]
            for need in item.needs:
                if need in used and used[need] < used[item.id]:
                    used[need] = used[item.id]
                    pending.append(need)
        return used
