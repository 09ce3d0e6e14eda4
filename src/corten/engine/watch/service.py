"""Following images: looks at registries, at intervals or when told of a push, and has containers replaced.

Owns: when to look, who is being looked at, and what is told about it.  What a look means is in ``decision.py``, how a
container is replaced in ``replace.py``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from corten.api.times import ZERO, rfc3339
from corten.distribution.model import Silent
from corten.engine.containers import networking
from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Live
from corten.engine.containers.service import ContainerService
from corten.engine.images.ground import ImageGround
from corten.engine.images.names import find
from corten.engine.images.pull import Puller
from corten.engine.watch import decision, notice
from corten.engine.watch.credentials import Wallet
from corten.engine.watch.decision import Verdict
from corten.engine.watch.notes import Notes
from corten.engine.watch.replace import Replacer, RolledBack
from corten.errors import CortenError, Invalid
from corten.spec.digest import Digest
from corten.spec.reference import Reference
from corten.store.facts import Facts
from corten.store.images import ImageRecord

log = logging.getLogger(__name__)

# Pulls go side by side; containers are changed over a few at a time, so that a host is never all upheaval.
_REPLACEMENTS_AT_ONCE = 2
_NAMESPACES = ("NetworkMode", "IpcMode", "PidMode")


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What the daemon's configuration says about following images."""

    interval: float = 300.0  # seconds between looks; 0 looks only when told to
    grace: float = 10.0  # seconds that a container without a health check must run
    registry_config: Path | None = None


class WatchService:
    """All followed containers."""

    def __init__(
        self,
        ground: Ground,
        containers: ContainerService,
        images: ImageGround,
        puller: Puller,
        facts: Facts,
        options: WatchOptions,
    ) -> None:
        self._ground = ground
        self._images = images
        self._puller = puller
        self._options = options
        self._notes = Notes(facts)
        self._replacer = Replacer(ground, containers, images, facts, self._notes, options.grace)
        self._wallet = Wallet(options.registry_config)
        self._turns = asyncio.Semaphore(_REPLACEMENTS_AT_ONCE)
        self._looks: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._loop: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Set right what a killed daemon left half-done, then begin to look."""
        await asyncio.gather(*(self._replacer.recover(work) for work in self._notes.under_way()))
        if self._options.interval > 0:
            self._loop = self._ground.background.start(self._run(), "following images")

    async def close(self) -> None:
        """Look no more.  A replacement under way is left as it is: the next daemon undoes or finishes it."""
        tasks = [task for task in (self._loop, *self._looks.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            for live in self.followed():
                self._look(live)
            self._notes.keep_only({live.record.id for live in self._ground.roster})
            await asyncio.sleep(self._options.interval)

    # -- what the API asks -------------------------------------------------------------------------------------

    def followed(self) -> list[Live]:
        """The containers whose labels ask for it, but those that are on their way in or out."""
        return [
            live
            for live in self._ground.roster
            if decision.is_followed(live.record.labels) and not self._notes.is_temporary(live.record.name)
        ]

    def status(self) -> dict[str, Any]:
        """Every followed container and what is known of it."""
        rows = sorted((self._row(live) for live in self.followed()), key=lambda row: str(row["Name"]))
        return {"Interval": self._options.interval, "Containers": rows}

    async def check(self, names: Iterable[str], *, retry: bool = False) -> dict[str, Any]:
        """Look now at all followed containers, or at the named ones; answers when all is done.

        With ``retry`` also digests that are known to be bad are tried.
        """
        wanted = [self._ground.roster.find(name) for name in names] or self.followed()
        for live in wanted:
            if not decision.is_followed(live.record.labels):
                raise Invalid(
                    f"container {live.record.name} is not followed: it has no label {decision.LABELS[0]}=true"
                )
        if retry:
            for live in wanted:
                self._notes.put(live.record.id, replace(self._notes.get(live.record.id), bad=""))
        asked = {live.record.name for live in wanted}
        await asyncio.gather(*(self._look(live) for live in wanted), return_exceptions=True)
        status = self.status()
        return status | {"Containers": [row for row in status["Containers"] if row["Name"] in asked]}

    def notify(self, body: Any) -> int:
        """A registry tells of pushes: look at once; how many containers are looked at."""
        pushes = notice.parse(body)
        count = 0
        for live in self.followed():
            try:
                reference = decision.target(live.record)
            except CortenError:
                continue
            if any(push.concerns(reference) for push in pushes):
                self._look(live)
                count += 1
        return count

    def _row(self, live: Live) -> dict[str, Any]:
        record, note = live.record, self._notes.get(live.record.id)
        try:
            current = [str(digest) for digest in self._known(live, decision.target(record))]
        except CortenError:
            current = []
        return {
            "Id": record.id,
            "Name": record.name,
            "Image": record.image_name,
            "ImageID": record.image_id,
            "Digest": note.remote if note.remote in current else (current or [""])[0],
            "Latest": note.remote,
            "Bad": note.bad,
            "Checked": rfc3339(note.checked) if note.checked else ZERO,
            "Result": "checking" if record.id in self._looks else note.result,
        }

    # -- a look ------------------------------------------------------------------------------------------------

    def _look(self, live: Live) -> asyncio.Task[None]:
        """Look in the background; who comes while that goes on has another look taken after it."""
        container_id = live.record.id
        if task := self._looks.get(container_id):
            self._again.add(container_id)
            return task
        task = self._ground.background.start(self._follow(live), f"looking for news of {live.record.short_id}")
        self._looks[container_id] = task
        task.add_done_callback(lambda _: self._looks.pop(container_id, None))
        return task

    async def _follow(self, live: Live) -> None:
        container_id = live.record.id
        while True:
            self._again.discard(container_id)
            live = await self._once(live)
            if container_id not in self._again or not self._ground.roster.holds(live):
                return

    async def _once(self, live: Live) -> Live:
        """One look, and what follows from it; the container as it is then."""
        note = self._notes.get(live.record.id)
        remote = note.remote
        try:
            reference = decision.target(live.record)
            if words := decision.obstacle(live.record, self._sharers(live)):
                raise Invalid(words)
            credentials = self._wallet.lookup(reference.registry)
            found = (await self._images.distribution.resolve(reference, credentials)).digest
            remote = str(found)
            verdict = decision.judge(self._known(live, reference), found, note.bad)
            result = str(verdict)
            if verdict is Verdict.MOVED:
                image = await self._pull(live, reference, found)
                if str(image.id) == live.record.image_id:
                    result = str(Verdict.CURRENT)  # other words about the same image
                else:
                    async with self._turns:
                        live = await self._replacer.replace(live, image.id, reference, found)
                    result = "updated"
            elif verdict is Verdict.BAD:
                result = note.result
        except RolledBack as failure:
            result = f"rolled back: {failure.message}"
        except (CortenError, OSError) as error:
            result = str(error)
        if result != note.result:
            log.info("%s, which follows %s: %s", live.record.name, live.record.image_name, result)
        if self._ground.roster.holds(live):
            kept = self._notes.get(live.record.id)
            self._notes.put(live.record.id, replace(kept, result=result, checked=time.time(), remote=remote))
        return live

    async def _pull(self, live: Live, reference: Reference, digest: Digest) -> ImageRecord:
        """Exactly what was seen, under its digest only: the tag moves here when the container has moved."""
        exact = replace(reference, tag=None, digest=digest)
        image = self._image(live)
        platform = image.config.platform if image else None
        await self._puller.pull(exact, platform, self._wallet.lookup(reference.registry), Silent())
        return find(self._images.images, str(exact), platform)

    def _image(self, live: Live) -> ImageRecord | None:
        try:
            return self._images.images.get(Digest.parse(live.record.image_id))
        except CortenError:
            return None  # removed by force

    def _known(self, live: Live, reference: Reference) -> list[Digest]:
        """The digests under which the followed repository has the container's image."""
        image = self._image(live)
        if image is None:
            return []
        # The image of another platform than this host's is known by its index.
        names = (*image.repo_digests, *self._images.images.holders(image.id))
        return [item.digest for item in names if item.name == reference.name and item.digest is not None]

    def _sharers(self, live: Live) -> list[str]:
        """Names of containers that live in the namespaces of this one."""
        found = []
        for other in self._ground.roster:
            for field in _NAMESPACES:
                try:
                    shared = networking.shared_with(self._ground, other.record, field)
                except CortenError:
                    continue
                if shared is live and other.record.is_active:
                    found.append(other.record.name)
        return found
