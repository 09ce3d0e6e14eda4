"""The operations on volumes.

Owns: records, references by containers, safe removal.  Knows nothing of Docker's JSON.  Read next: ``local.py``, which
mounts and measures.

    data_root/volumes/
        <name>/_data      the contents; the mount point where the volume has options
        .trash/<random>   removed volumes, deleted in the background and again at start

    facts:  volume/<name>       Volume
            volume-use/<name>   the containers that refer to it, and for each whether it runs

A record is written before its directory is made and deleted after the directory was renamed away, so that a crash
leaves a record without data (made again on use) or rubbish in the trash, never contents that are lost sight of.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

from corten.errors import Conflict, Invalid, NotFound
from corten.volumes.base import FactsPort
from corten.volumes.local import LocalDriver, delete
from corten.volumes.model import ANONYMOUS_LABEL, Usage, Volume, anonymous_name, check_name
from corten.volumes.options import MountRequest

VOLUME, USE = "volume", "volume-use"


class Volumes:
    """All volumes of one daemon."""

    def __init__(self, facts: FactsPort, root: Path) -> None:
        self._facts = facts
        self._driver = LocalDriver(root)
        self._volumes: dict[str, Volume] = {}
        self._users: dict[str, dict[str, bool]] = {}  # volume -> container -> whether it runs
        self._locks: dict[str, asyncio.Lock] = {}
        self._background: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Take up the facts; adopt directories without a record; empty the trash in the background."""
        await asyncio.to_thread(self._driver.prepare)
        for name, body in self._facts.items(VOLUME).items():
            self._volumes[name] = Volume.from_json(body)
        for name, body in self._facts.items(USE).items():
            if name in self._volumes:
                self._users[name] = dict(body["containers"])
            else:
                self._facts.delete(USE, name)
        for name, created in await asyncio.to_thread(lambda: list(self._driver.found())):
            if name not in self._volumes:
                self._record(Volume(name, self._driver.mountpoint(name), created))
        for path in await asyncio.to_thread(self._driver.rubbish):
            self._later(asyncio.to_thread(delete, path))

    async def close(self) -> None:
        """Wait for deletions in progress; what is left of them is deleted at the next start."""
        if self._background:
            await asyncio.wait(self._background, timeout=2.0)

    # ── volumes ────────────────────────────────────────────────────────────────────────────────────

    async def create(
        self,
        name: str | None = None,
        driver: str = "local",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[Volume, bool]:
        """Return the volume and whether it is new.  Without a name: an anonymous one."""
        given = dict(labels or {}) if name else {ANONYMOUS_LABEL: "", **(labels or {})}
        wanted = check_name(name) if name else anonymous_name()
        if driver not in ("", "local"):
            words = f'could not find plugin "{driver}" in v1 plugin registry: plugin not found'
            raise NotFound(f"create {wanted}: error looking up volume plugin {driver}: {words}")
        try:
            MountRequest.parse(options or {})
        except Invalid as error:
            raise Invalid(f"create {wanted}: {error.message}") from None
        async with self._lock(wanted):
            existing = self._volumes.get(wanted)
            if existing:
                return existing, False  # docker: whatever options it has
            volume = Volume(
                name=wanted,
                mountpoint=self._driver.mountpoint(wanted),
                created=time.time(),
                options=dict(options or {}),
                labels=given,
                anonymous=not name,
            )
            self._record(volume)
            try:
                await asyncio.to_thread(self._driver.make, wanted)
            except OSError:
                self._forget(wanted)
                raise
            return volume, True

    def get(self, name: str) -> Volume:
        """Raises NotFound."""
        try:
            return self._volumes[name]
        except KeyError:
            raise NotFound(f"get {name}: no such volume") from None

    def all(self) -> list[Volume]:
        return list(self._volumes.values())

    async def remove(self, name: str, *, force: bool = False) -> bool:
        """Raises Conflict while referred to, NotFound unless ``force``.  Returns whether there was one."""
        async with self._lock(name):
            volume = self._volumes.get(name)
            if volume is None:
                if force:
                    return False
                raise NotFound(f"get {name}: no such volume")
            users = self.references(name)
            if users:
                raise Conflict(f"remove {name}: volume is in use - [{', '.join(sorted(users))}]")
            rubbish = await asyncio.to_thread(self._driver.discard, volume)
            self._forget(name)
        self._locks.pop(name, None)
        if rubbish:
            self._later(asyncio.to_thread(delete, rubbish))
        return True

    async def usage(self, name: str) -> Usage:
        """Walk the volume's files."""
        volume = self.get(name)
        return Usage(await asyncio.to_thread(self._driver.usage, volume.name), len(self.references(name)))

    # ── containers ─────────────────────────────────────────────────────────────────────────────────

    async def acquire(self, name: str, container_id: str) -> Volume:
        """A container refers to the volume from now on (from its create to its removal)."""
        async with self._lock(name):
            volume = self.get(name)
            users = self._users.get(name, {})
            if container_id not in users:
                self._use(name, {**users, container_id: False})
            return volume

    async def release(self, name: str, container_id: str) -> None:
        """The container is removed; an unknown one is ignored."""
        async with self._lock(name):
            await self._leave(name, container_id)

    def references(self, name: str) -> frozenset[str]:
        return frozenset(self._users.get(name, {}))

    async def mount(self, name: str, container_id: str) -> Path:
        """Return the directory to bind into a container that starts; mounts it if it has options."""
        async with self._lock(name):
            volume = self.get(name)
            await asyncio.to_thread(self._driver.mount, volume)
            self._use(name, {**self._users.get(name, {}), container_id: True})
            return volume.mountpoint

    async def unmount(self, name: str, container_id: str) -> bool:
        """The container stopped; the last one unmounts.  False if it had not mounted it."""
        async with self._lock(name):
            users = self._users.get(name, {})
            if name not in self._volumes or not users.get(container_id):
                return False
            self._use(name, {**users, container_id: False})
            await self._unmount_idle(name)
            return True

    async def reconcile(self, containers: Mapping[str, bool]) -> None:
        """After a restart: containers that exist (and whether they run); references of all others are dropped."""
        for name in list(self._users):
            async with self._lock(name):
                await self._settle(name, containers)

    # ── inside ─────────────────────────────────────────────────────────────────────────────────────

    async def _settle(self, name: str, containers: Mapping[str, bool]) -> None:
        users = self._users.get(name, {})
        kept = {each: users[each] and containers[each] for each in users if each in containers}
        if kept != users:
            self._use(name, kept)
            await self._unmount_idle(name)

    async def _leave(self, name: str, container_id: str) -> None:
        users = dict(self._users.get(name, {}))
        if users.pop(container_id, None) is not None:
            self._use(name, users)
            await self._unmount_idle(name)

    async def _unmount_idle(self, name: str) -> None:
        volume = self._volumes.get(name)
        if volume and any(volume.options.values()) and not any(self._users.get(name, {}).values()):
            await asyncio.to_thread(self._driver.unmount, volume)

    def _record(self, volume: Volume) -> None:
        self._facts.put(VOLUME, volume.name, volume.to_json())
        self._volumes[volume.name] = volume

    def _forget(self, name: str) -> None:
        with self._facts.transaction():
            self._facts.delete(VOLUME, name)
            self._facts.delete(USE, name)
        self._volumes.pop(name, None)
        self._users.pop(name, None)

    def _use(self, name: str, users: dict[str, bool]) -> None:
        if users:
            self._facts.put(USE, name, {"containers": users})
            self._users[name] = users
        else:
            self._facts.delete(USE, name)
            self._users.pop(name, None)

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
