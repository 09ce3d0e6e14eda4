"""A container goes: its record and name first, then what it had on disk.

Owns: the order of a removal.  The answer is given when the record is gone; bytes go in the background and, should the
daemon be killed meanwhile, at its next start (``recovery.py`` finds bundles and snapshots without a record).
"""

from __future__ import annotations

import asyncio
import logging
import shutil

from corten.engine.containers import storage
from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Ending, Live
from corten.engine.containers.status import Status
from corten.errors import CortenError, NotFound

log = logging.getLogger(__name__)


_ANSWER_SECONDS = 0.01
"""Those who wait for the removal get their answer first."""


class Removal:
    """Removing containers that do not run."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def remove(self, live: Live, *, with_volumes: bool) -> None:
        """Forget a container; the caller holds its lock and has made sure that it does not run."""
        if live.teardown is not None:
            await live.teardown
        record = live.record
        record.state.move(Status.REMOVING)
        try:
            await storage.forget(self._ground, record, with_volumes=with_volumes)
        except BaseException:
            # Not stuck: it may be removed again.
            record.state.move(Status.DEAD)
            raise
        self._ground.roster.drop(live)
        live.tell_waiters(Ending(record.state.exit_code), removed=True)
        for pending in live.pending:
            if not pending.future.done():
                pending.future.set_result(None)
        self._ground.publish(live, "destroy")
        self._ground.background.start(self._delete_files_later(record.id), f"files of {record.short_id}")

    async def _delete_files_later(self, container_id: str) -> None:
        await asyncio.sleep(_ANSWER_SECONDS)
        await self.delete_files(container_id)

    async def delete_files(self, container_id: str) -> None:
        """Drop the snapshot and the bundle."""
        try:
            self._ground.snapshots.remove(container_id)
        except NotFound:
            pass
        except CortenError:
            log.exception("removing the snapshot of %s", container_id)
        await asyncio.to_thread(shutil.rmtree, self._ground.bundle(container_id), ignore_errors=True)
