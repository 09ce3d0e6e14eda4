"""The bus of events: publish, subscribe, replay.

Owns: the last events (in memory and in a journal file, so that ``since`` reaches over a daemon restart), the queues of
the subscribers, and which events a filter keeps.  Knows nothing of what the events are about.

The journal is JSON lines, appended without fsync: losing the last events with the machine is no loss of state.  At
``JOURNAL_LIMIT`` bytes it is moved aside and a new one begun; both are read back at start.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from corten.api.filters import Filters

KEPT = 4096
JOURNAL_LIMIT = 4 << 20
# A subscriber that is this far behind is cut off; it would otherwise grow without bound.
BACKLOG = 16384

_ACTORS = ("container", "image", "network", "volume", "plugin", "daemon", "service", "node", "secret", "config")
FILTERS = frozenset({*_ACTORS, "event", "label", "scope", "type"})


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to something."""

    type: str
    action: str
    actor_id: str
    attributes: Mapping[str, str]
    time_ns: int
    scope: str = "local"

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Event:
        """Back from ``to_json``."""
        actor = body["Actor"]
        return cls(body["Type"], body["Action"], actor["ID"], actor["Attributes"], body["timeNano"], body["scope"])

    def to_json(self) -> dict[str, Any]:
        """As the API tells it, the fields of before 1.22 included: clients still read them."""
        body: dict[str, Any] = {}
        if self.type in ("container", "image"):
            body |= {"status": self.action, "id": self.actor_id}
        if self.type == "container" and "image" in self.attributes:
            body["from"] = self.attributes["image"]
        return body | {
            "Type": self.type,
            "Action": self.action,
            "Actor": {"ID": self.actor_id, "Attributes": dict(self.attributes)},
            "scope": self.scope,
            "time": self.time_ns // 1_000_000_000,
            "timeNano": self.time_ns,
        }


class Subscription:
    """One listener; iterate over it, and close it."""

    def __init__(
        self, filters: Filters, until_ns: int | None, replay: list[Event], subscribers: set[Subscription]
    ) -> None:
        self._filters = filters
        self._until_ns = until_ns
        self._subscribers = subscribers
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        for event in replay:
            self.offer(event)

    def offer(self, event: Event) -> None:
        """Take an event that the filters keep; a listener that is too far behind is cut off."""
        if self._queue.qsize() > BACKLOG:
            self.close()
        elif keeps(self._filters, event):
            self._queue.put_nowait(event)

    def close(self) -> None:
        """Listen no more."""
        self._subscribers.discard(self)
        self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Event]:
        try:
            while event := await self._next():
                yield event
        finally:
            self._subscribers.discard(self)

    async def _next(self) -> Event | None:
        if self._until_ns is None or not self._queue.empty():
            return await self._queue.get()
        left = (self._until_ns - time.time_ns()) / 1e9
        if left <= 0:
            return None
        try:
            return await asyncio.wait_for(self._queue.get(), left)
        except TimeoutError:
            return None


class Events:
    """The bus."""

    def __init__(self, journal: Path | None) -> None:
        self._journal_path = journal
        self._journal: IO[str] | None = None
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._subscribers: set[Subscription] = set()
        self._last_ns = 0

    def open(self) -> None:
        """Read the journal back and go on writing it."""
        if self._journal_path is None:
            return
        for path in (self._journal_path.with_suffix(".old"), self._journal_path):
            self._kept.extend(_read(path))
        self._journal = self._journal_path.open("a", encoding="utf-8")

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def publish(self, type: str, action: str, actor_id: str, attributes: Mapping[str, str] | None = None) -> Event:
        """Tell everybody who listens, and remember."""
        # Strictly growing, so that `since` never cuts between two events of one instant.
        self._last_ns = max(time.time_ns(), self._last_ns + 1)
        event = Event(type, action, actor_id, dict(attributes or {}), self._last_ns)
        self._kept.append(event)
        for subscription in tuple(self._subscribers):
            subscription.offer(event)
        self._write(event)
        return event

    def subscribe(
        self, filters: Filters | None = None, since_ns: int | None = None, until_ns: int | None = None
    ) -> Subscription:
        """Past events from ``since_ns`` if given, then those to come until ``until_ns``; without end if None.

        The subscriber listens from this call on: no event falls between replay and listening.
        """
        subscription = Subscription(filters or Filters(), until_ns, self._replay(since_ns, until_ns), self._subscribers)
        self._subscribers.add(subscription)
        return subscription

    def _replay(self, since_ns: int | None, until_ns: int | None) -> list[Event]:
        if since_ns is None:
            # docker: `until` alone replays everything kept up to then.
            if until_ns is None or until_ns > time.time_ns():
                return []
            since_ns = 0
        return [e for e in self._kept if e.time_ns >= since_ns and (until_ns is None or e.time_ns <= until_ns)]

    def _write(self, event: Event) -> None:
        if self._journal is None or self._journal_path is None:
            return
        self._journal.write(json.dumps(event.to_json()) + "\n")
        self._journal.flush()
        if self._journal.tell() > JOURNAL_LIMIT:
            self._journal.close()
            self._journal_path.replace(self._journal_path.with_suffix(".old"))
            self._journal = self._journal_path.open("a", encoding="utf-8")


def _read(path: Path) -> Iterator[Event]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        try:
            yield Event.parse(json.loads(line))
        except (ValueError, KeyError, TypeError):
            continue  # the last line of a journal whose writer was killed


def keeps(filters: Filters, event: Event) -> bool:
    """True if the filters let the event pass."""
    if not (filters.exact("type", event.type) and filters.exact("scope", event.scope)):
        return False
    if not _keeps_action(filters, event.action) or not filters.labels(event.attributes):
        return False
    return all(_keeps_actor(filters, kind, event) for kind in _ACTORS)


def _keeps_action(filters: Filters, action: str) -> bool:
    # docker: `event=exec_create` also keeps "exec_create: sh", and `health_status` "health_status: healthy".
    wanted = filters.get("event")
    return not wanted or action in wanted or action.partition(":")[0] in wanted


def _keeps_actor(filters: Filters, kind: str, event: Event) -> bool:
    wanted = filters.get(kind)
    if not wanted:
        return True
    if kind == "image" and event.type == "container":
        name = event.attributes.get("image", "")
        return name in wanted or name.partition(":")[0] in wanted
    if event.type != kind:
        # A network event names the container that was connected.
        return kind == "container" and event.attributes.get("container", "") in wanted
    names = {event.actor_id, event.attributes.get("name", "")}
    if kind == "image":
        names |= {name.rsplit(":", 1)[0] for name in tuple(names)}
    return any(value in names or (len(value) >= 3 and event.actor_id.startswith(value)) for value in wanted)
