"""A container while the daemon runs: its record, its lock, its task, and who waits for it.

Owns: what is lost with the daemon and found again by recovery, and the roster by which a name finds a container.
Reads of the roster never wait.  For what happens to a container read ``lifecycle.py``.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from corten.engine import names
from corten.engine.containers.model import KIND, Container
from corten.errors import Conflict, Invalid, NotFound
from corten.store.facts import Facts
from corten.supervisor.model import Client
from corten.supervisor.service import Task


@dataclass(frozen=True, slots=True)
class Ending:
    """What ``wait`` answers."""

    status: int
    error: str = ""


@dataclass(eq=False, slots=True)
class Waiter:
    """Somebody who waits; ``for_removal`` is the condition ``removed``."""

    for_removal: bool
    future: asyncio.Future[Ending]


@dataclass(eq=False, slots=True)
class Pending:
    """A client that attached before the container was started; None if it will not be."""

    streams: Client
    future: asyncio.Future[socket.socket | None]


@dataclass(eq=False, slots=True)
class Live:
    """A container, alive in this daemon."""

    record: Container
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    task: Task | None = None
    # The clean-up of the run before; a new start and a removal wait for it.
    teardown: asyncio.Task[None] | None = None
    restart_timer: asyncio.Task[None] | None = None
    restart_delay: float = 0.0
    health: asyncio.Task[None] | None = None
    waiters: list[Waiter] = field(default_factory=list)
    pending: list[Pending] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    exec_ids: set[str] = field(default_factory=set)
    starts: int = 0
    # True while ``docker restart`` brings it down: --rm does not see that end.
    is_coming_back: bool = False

    def running_task(self) -> Task:
        """The task; raises Conflict if there is none."""
        if self.task is None or not self.record.is_running:
            raise Conflict(f"container {self.record.id} is not running")
        return self.task

    def tell_waiters(self, ending: Ending, *, removed: bool) -> None:
        """Answer those who wait for this."""
        waiting, self.waiters = self.waiters, []
        for waiter in waiting:
            if waiter.for_removal and not removed:
                self.waiters.append(waiter)
            elif not waiter.future.done():
                waiter.future.set_result(ending)


class Roster:
    """All containers, by id and by name."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._by_id: dict[str, Live] = {}
        self._ids: dict[str, str] = {}

    def load(self) -> None:
        """Take up every record of the facts."""
        for body in self._facts.items(KIND).values():
            record = Container.parse(body)
            self._by_id[record.id] = Live(record)
            self._ids[record.name] = record.id

    def __iter__(self) -> Iterator[Live]:
        return iter(tuple(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, container_id: str) -> bool:
        return container_id in self._by_id

    def holds(self, live: Live) -> bool:
        """False once it was removed."""
        return self._by_id.get(live.record.id) is live

    def find(self, name: str) -> Live:
        """By id, name or unambiguous beginning of an id; raises NotFound or Invalid in dockerd's words."""
        bare = name.removeprefix("/")
        if live := self._by_id.get(name) or self._by_id.get(self._ids.get(bare, "")):
            return live
        found = names.by_prefix(name, self._by_id)
        if len(found) > 1:
            raise Invalid(f"Multiple IDs found with provided prefix: {name}")
        if not found:
            raise NotFound(f"No such container: {name}")
        return self._by_id[found[0]]

    def reserve(self, name: str, container_id: str) -> None:
        """Take a name; raises Conflict in dockerd's words."""
        if owner := self._ids.get(name):
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{owner}". You have to remove '
                "(or rename) that container to be able to reuse that name."
            )
        self._ids[name] = container_id

    def release(self, name: str) -> None:
        """Give a name back."""
        self._ids.pop(name, None)

    def is_taken(self, name: str) -> bool:
        """True if the name is some container's."""
        return name in self._ids

    def add(self, live: Live) -> None:
        """A new container whose name was reserved."""
        self.save(live)
        self._by_id[live.record.id] = live

    def save(self, live: Live) -> None:
        """Write the record down."""
        self._facts.put(KIND, live.record.id, live.record.to_json())

    @contextmanager
    def exchanged(self, one: Live, other: Live) -> Iterator[None]:
        """Each has the other's name from here on, unless the block fails in which that is saved.  Never await in it."""
        self._swap(one, other)
        try:
            yield
        except BaseException:
            self._swap(one, other)
            raise

    def _swap(self, one: Live, other: Live) -> None:
        one.record.name, other.record.name = other.record.name, one.record.name
        self._ids |= {live.record.name: live.record.id for live in (one, other)}

    def drop(self, live: Live) -> None:
        """Forget a container, and give its name back."""
        self._facts.delete(KIND, live.record.id)
        self._by_id.pop(live.record.id, None)
        self.release(live.record.name)
