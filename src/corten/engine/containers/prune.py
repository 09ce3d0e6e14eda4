"""What ``docker container prune`` takes: all that do not run and that the filters keep."""

from __future__ import annotations

from corten.api.filters import Filters
from corten.api.times import moment
from corten.engine.containers import changes
from corten.engine.containers.ground import Ground
from corten.engine.containers.lifecycle import Lifecycle
from corten.engine.containers.status import Status
from corten.errors import CortenError, Invalid

FILTERS = frozenset({"label", "label!", "until"})


async def prune(ground: Ground, lifecycle: Lifecycle, filters: Filters) -> tuple[list[str], int]:
    """Remove them; ids and bytes."""
    filters.only(FILTERS)
    until = filters.get("until")
    if len(until) > 1:
        raise Invalid("more than one until filter specified")
    before = moment(until[0]) if until else None
    gone: list[str] = []
    reclaimed = 0
    for live in ground.roster:
        record = live.record
        if record.is_active or record.state.status not in (Status.CREATED, Status.EXITED, Status.DEAD):
            continue
        if not filters.labels(record.labels) or (before is not None and record.created > before):
            continue
        size = await changes.writable_size(ground, live)
        try:
            await lifecycle.remove(live)
        except CortenError:
            continue  # somebody else was faster
        gone.append(record.id)
        reclaimed += size
    ground.events.publish("container", "prune", "", {"reclaimed": str(reclaimed)})
    return gone, reclaimed
