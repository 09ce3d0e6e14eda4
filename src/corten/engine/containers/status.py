"""The life of a container as a table: each status, and the statuses that may follow it.

Owns: the words, the legal moves and the refusal of an illegal one.
"""

from __future__ import annotations

from enum import StrEnum

from corten.errors import Conflict


class Status(StrEnum):
    """Docker's word for what a container is doing."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    EXITED = "exited"
    REMOVING = "removing"
    DEAD = "dead"

    @property
    def is_live(self) -> bool:
        """True while the container has processes."""
        return self in (Status.RUNNING, Status.PAUSED)


MOVES: dict[Status, frozenset[Status]] = {
    Status.CREATED: frozenset({Status.RUNNING, Status.EXITED, Status.REMOVING}),
    Status.RUNNING: frozenset({Status.PAUSED, Status.RESTARTING, Status.EXITED, Status.DEAD}),
    Status.PAUSED: frozenset({Status.RUNNING, Status.RESTARTING, Status.EXITED, Status.DEAD}),
    Status.RESTARTING: frozenset({Status.RUNNING, Status.EXITED, Status.REMOVING}),
    Status.EXITED: frozenset({Status.RUNNING, Status.RESTARTING, Status.REMOVING, Status.DEAD}),
    Status.REMOVING: frozenset({Status.DEAD}),
    Status.DEAD: frozenset({Status.REMOVING}),
}


def check(now: Status, then: Status) -> Status:
    """``then``, if it may follow ``now``; raises Conflict with both words."""
    if then is not now and then not in MOVES[now]:
        raise Conflict(f"a container that is {now} cannot become {then}")
    return then
