"""What a follower writes down: the replacement it is in the middle of, and what it knows of each container.

Owns: the two documents and their keeping in the facts.  A replacement is written before its first step and forgotten
after its last: whatever is found at start was interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from corten.store.facts import Facts

REPLACEMENT = "watch-replacement"
NOTE = "watch-note"


@dataclass(frozen=True, slots=True)
class Replacement:
    """One container taking another's place."""

    old: str  # its id
    temporary: str  # the name of the new one until it takes over, of the old one after that
    reference: str
    digest: str
    order: str
    # What the old one's HostConfig says of RestartPolicy and AutoRemove, while it waits.
    parked: Mapping[str, Any]
    aliases: Mapping[str, list[str]]
    new: str = ""  # the id of the new one, once it has taken over
    has_stopped_old: bool = False
    is_committed: bool = False
    failure: str = ""

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Replacement:
        """Back from ``asdict``."""
        return cls(**body)


@dataclass(frozen=True, slots=True)
class Note:
    """What is known of a followed container."""

    result: str = ""
    checked: float = 0.0
    remote: str = ""
    bad: str = ""  # the digest that was tried and failed

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Note:
        """Back from ``asdict``."""
        return cls(**body)


class Notes:
    """Both, by the container's id."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._notes = {key: Note.parse(body) for key, body in facts.items(NOTE).items()}
        self._under_way = {key: Replacement.parse(body) for key, body in facts.items(REPLACEMENT).items()}

    def get(self, container_id: str) -> Note:
        """What is known; an empty note for one that was never looked at."""
        return self._notes.get(container_id) or Note()

    def put(self, container_id: str, note: Note) -> None:
        """Remember.  That another look found nothing new is not worth a write."""
        before = self._notes.get(container_id)
        self._notes[container_id] = note
        if before is None or replace(before, checked=note.checked) != note:
            self._facts.put(NOTE, container_id, asdict(note))

    def keep_only(self, containers: set[str]) -> None:
        """Forget those that are gone."""
        for container_id in self._notes.keys() - containers:
            del self._notes[container_id]
            self._facts.delete(NOTE, container_id)

    def write(self, work: Replacement) -> Replacement:
        """Write down how far a replacement is."""
        self._facts.put(REPLACEMENT, work.old, asdict(work))
        self._under_way[work.old] = work
        return work

    def forget(self, work: Replacement) -> None:
        """The replacement is over."""
        self._facts.delete(REPLACEMENT, work.old)
        self._under_way.pop(work.old, None)

    def under_way(self) -> list[Replacement]:
        """Replacements that have begun and are not over."""
        return list(self._under_way.values())

    def is_temporary(self, name: str) -> bool:
        """True for the name of a container that comes or goes."""
        return any(work.temporary == name for work in self._under_way.values())
