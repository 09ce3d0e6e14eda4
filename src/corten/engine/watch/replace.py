"""A container takes another's place: made beside it, tried, and given its name; or taken away again.

Owns: the order of the steps.  The one step that counts is the commit: names, restart policies and the note of it
change in a single transaction, without awaiting.  Before it everything can be undone, after it everything can be
finished, by whoever finds the note: a daemon that was killed at any moment does so at its next start.

    note ─ make the new one ─ [stop the old] ─ start the new ─ trial ─ COMMIT ─ [stop the old] ─ remove it ─ tag
      └───────────────────── undo: remove the new, start the old ────┘    └────────── finish ─────────┘
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace as changed
from typing import Any

from corten.engine.containers import create, networking, policy
from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Live
from corten.engine.containers.model import Container
from corten.engine.containers.service import ContainerService
from corten.engine.images.ground import ImageGround
from corten.engine.watch import decision, inherit
from corten.engine.watch.decision import Order, Trial
from corten.engine.watch.notes import Notes, Replacement
from corten.errors import Conflict, CortenError, NotFound, NotModified
from corten.spec.digest import Digest
from corten.spec.reference import Reference
from corten.store.facts import Facts

log = logging.getLogger(__name__)

_LOOK_EVERY = 0.1
_START_ATTEMPTS = 3
INTERRUPTED = "the daemon was interrupted"


class RolledBack(CortenError):
    """The new container was not well; the old one is back."""


class Replacer:
    """Replaces containers, one at a time each."""

    def __init__(
        self,
        ground: Ground,
        containers: ContainerService,
        images: ImageGround,
        facts: Facts,
        notes: Notes,
        grace: float,
    ) -> None:
        self._ground = ground
        self._containers = containers
        self._images = images
        self._facts = facts
        self._notes = notes
        self._grace = grace

    async def replace(self, old: Live, image: Digest, reference: Reference, digest: Digest) -> Live:
        """Put a container of ``image`` in the place of ``old``; raises RolledBack when it was not to be."""
        order = decision.order(old.record)
        work = self._begin(old, order, reference, digest)
        try:
            new = await self._make(old, work, image)
            if order is Order.STOP_FIRST:
                work = self._notes.write(changed(work, has_stopped_old=True))
                await self._stop(old)
            await self._containers.start(new.record.id)
            await self._prove(new)
            if order is Order.START_FIRST and not old.record.is_running:
                raise Conflict("the old container was stopped meanwhile")
            work = self._commit(old, new, work)
        except (CortenError, OSError) as error:
            work = self._notes.write(changed(work, failure=str(error) or type(error).__name__))
            await self.undo(work)
            raise RolledBack(work.failure) from error
        await self.finish(work)
        return new

    def _begin(self, old: Live, order: Order, reference: Reference, digest: Digest) -> Replacement:
        record = old.record
        work = Replacement(
            old=record.id,
            temporary=f"{record.name}-watch-{secrets.token_hex(3)}",
            reference=str(reference),
            digest=str(digest),
            order=order,
            parked={name: record.host_config[name] for name in inherit.ON_TRIAL},
            aliases=_aliases(record),
        )
        with self._facts.transaction():
            self._notes.write(work)
            self._set_host(old, inherit.ON_TRIAL)
        return work

    async def _make(self, old: Live, work: Replacement, image: Digest) -> Live:
        record = old.record
        wanted = inherit.request(
            record,
            self._image_config(record),
            work.temporary,
            str(image),
            aliases=work.order == Order.STOP_FIRST,
        )
        new = (await create.create(self._ground, wanted)).live
        anonymous = {point.name for point in record.mounts if point.anonymous}
        new.record.mounts = [
            changed(point, anonymous=True) if point.name and point.name in anonymous else point
            for point in new.record.mounts
        ]
        new.record.left_networks = list(record.left_networks)
        self._ground.roster.save(new)
        return new

    def _image_config(self, record: Container) -> Mapping[str, Any]:
        try:
            return self._images.images.get(Digest.parse(record.image_id)).config.config
        except CortenError:
            return {}  # removed by force: then all of Config counts as the user's own

    async def _stop(self, live: Live) -> None:
        """Stop, and wait until ports and addresses are free."""
        with contextlib.suppress(NotModified):
            await self._containers.stop(live.record.id)
        if live.teardown is not None:
            await asyncio.shield(live.teardown)

    async def _prove(self, new: Live) -> None:
        begun = time.monotonic()
        while True:
            judgement = decision.trial(new.record, time.monotonic() - begun, self._grace)
            if judgement.trial is Trial.PASSED:
                return
            if judgement.trial is Trial.FAILED:
                raise Conflict(judgement.reason)
            await asyncio.sleep(_LOOK_EVERY)

    def _commit(self, old: Live, new: Live, work: Replacement) -> Replacement:
        """The new one is the container from here on.  Never awaits."""
        if not self._ground.roster.holds(old):
            raise NotFound("the old container was removed meanwhile")
        new.record.endpoints = _with_aliases(new.record, work.aliases)
        done = changed(work, new=new.record.id, is_committed=True)
        with self._ground.roster.exchanged(old, new), self._facts.transaction():
            self._set_host(new, work.parked)
            self._ground.roster.save(old)
            self._notes.put(new.record.id, changed(self._notes.get(old.record.id), bad=""))
            self._notes.write(done)
        return done

    def _set_host(self, live: Live, values: Mapping[str, Any]) -> None:
        live.record.host_config = {**live.record.host_config, **values}
        self._ground.roster.save(live)

    # -- after the commit --------------------------------------------------------------------------------------

    async def finish(self, work: Replacement) -> None:
        """Take the old one away and tell it; may be done again from the start."""
        old = self._find(work.old)
        new = self._find(work.new)
        if new is not None:
            await self._ground.networking.rename(new.record.id, new.record.name, work.aliases)
        if old is not None:
            await self._ground.networking.rename(old.record.id, old.record.name, {})
            try:
                await self._stop(old)
                await self._containers.remove(old.record.id, force=True, with_volumes=True)
            except NotFound:
                pass
            except CortenError:
                log.exception("removing %s, which was replaced", old.record.short_id)
        if new is not None:
            self._name_image(new, work)
            told = {"digest": work.digest, "replaced": work.old}
            self._ground.publish(new, "watch: update", **told)
        self._notes.forget(work)

    def _name_image(self, new: Live, work: Replacement) -> None:
        with contextlib.suppress(CortenError):
            reference = Reference.parse(work.reference)
            self._images.give_name(Digest.parse(new.record.image_id), reference, Digest.parse(work.digest))

    # -- instead of the commit ---------------------------------------------------------------------------------

    async def undo(self, work: Replacement) -> None:
        """Take the new one away, and let the old one be as it was; may be done again from the start."""
        new = self._find(work.temporary)
        if new is not None and new.record.id != work.old:
            with contextlib.suppress(NotFound):
                await self._containers.remove(new.record.id, force=True, with_volumes=True)
        old = self._find(work.old)
        reason = work.failure or INTERRUPTED
        if old is not None:
            self._set_host(old, work.parked)
            reason += await self._back_to_work(old, work)
        with self._facts.transaction():
            if old is not None and self._ground.roster.holds(old):
                note = self._notes.get(work.old)
                bad = work.digest if work.failure else note.bad
                self._notes.put(work.old, changed(note, bad=bad, result=f"rolled back: {reason}"))
            self._notes.forget(work)
        if old is not None:
            self._ground.publish(old, "watch: rollback", digest=work.digest, reason=reason)

    async def _back_to_work(self, old: Live, work: Replacement) -> str:
        """Whatever became of the old one while its restart policy was parked."""
        record = old.record
        if work.has_stopped_old:
            await self._stop(old)  # a daemon may have been killed while it was about to
            return await self._start_again(old)
        if record.is_active:
            return ""
        if record.auto_remove:
            await self._containers.remove(record.id, with_volumes=True)
        elif not record.has_been_stopped_by_hand and policy.restarts_with_daemon(record):
            return await self._start_again(old)
        return ""

    async def _start_again(self, old: Live) -> str:
        failure: Exception | None = None
        for attempt in range(_START_ATTEMPTS):
            if attempt:
                await asyncio.sleep(float(attempt))
            try:
                await self._containers.start(old.record.id)
            except NotModified:
                return ""
            except (CortenError, OSError) as error:
                failure = error
            else:
                return ""
        log.error("cannot start %s again: %s", old.record.short_id, failure)
        return f"; and the old container does not start again: {failure}"

    # -- after a daemon that was killed ------------------------------------------------------------------------

    async def recover(self, work: Replacement) -> None:
        """Undo or finish what was interrupted."""
        try:
            await (self.finish(work) if work.is_committed else self.undo(work))
        except (CortenError, OSError):
            log.exception("recovering the replacement of %s", work.old[:12])

    def _find(self, name: str) -> Live | None:
        try:
            return self._ground.roster.find(name)
        except CortenError:
            return None


def _aliases(record: Container) -> dict[str, list[str]]:
    return {name: list(settings.get("Aliases") or ()) for name, settings in networking.wanted(record).items()}


def _with_aliases(record: Container, aliases: Mapping[str, list[str]]) -> dict[str, dict[str, Any]]:
    found = dict(record.endpoints)
    for network, names in aliases.items():
        if network in found and names:
            found[network] = {**found[network], "Aliases": names}
    return found
