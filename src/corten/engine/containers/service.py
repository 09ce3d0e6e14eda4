"""The operations on containers: one method for each that the API has.

Owns: nothing but the delegation; every method finds the container and hands it to the file that knows.  Reads answer
from memory and never wait for a running operation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from corten.api.filters import Filters
from corten.api.version import CURRENT, ApiVersion
from corten.engine.attachment import Attachment
from corten.engine.containers import (
    archive,
    attach,
    changes,
    create,
    links,
    listing,
    members,
    prune,
    signals,
    stats,
    top,
    update,
    view,
)
from corten.engine.containers.ground import Ground
from corten.engine.containers.lifecycle import Lifecycle
from corten.engine.containers.live import Ending, Live, Waiter
from corten.engine.containers.model import Container
from corten.engine.containers.recovery import recover
from corten.engine.containers.removal import Removal
from corten.errors import Conflict, Invalid
from corten.network.model import Network

CONDITIONS = ("", "not-running", "next-exit", "removed")


class ContainerService:
    """All containers, by Docker's rules."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._removal = Removal(ground)
        self._lifecycle = Lifecycle(ground, self._removal)

    async def open(self) -> None:
        """Find the containers again after a daemon restart."""
        await recover(self._ground, self._lifecycle, self._removal)

    async def close(self) -> None:
        """The daemon ends; containers run on."""
        self._lifecycle.close()

    def find(self, name: str) -> Live:
        """By id, name, or the beginning of an id; raises NotFound."""
        return self._ground.roster.find(name)

    def get(self, name: str) -> Container:
        """The record of a container."""
        return self.find(name).record

    def all(self) -> list[Container]:
        """Every record."""
        return [live.record for live in self._ground.roster]

    # -- reading -----------------------------------------------------------------------------------------------

    async def summaries(
        self,
        filters: Filters,
        *,
        show_all: bool = False,
        limit: int | None = None,
        size: bool = False,
        version: ApiVersion = CURRENT,
    ) -> list[dict[str, Any]]:
        """A line for each container that the filters keep."""
        found = listing.select(self._ground, filters, show_all=show_all, limit=limit)
        lines = [listing.summary(self._ground, live, version) for live in found]
        if size:
            for live, line in zip(found, lines, strict=True):
                line |= await changes.sizes(self._ground, live)
        return lines

    async def inspect(self, name: str, *, size: bool = False, version: ApiVersion = CURRENT) -> dict[str, Any]:
        """All about one container."""
        live = self.find(name)
        shown = view.inspect(self._ground, live, version)
        return shown | await changes.sizes(self._ground, live) if size else shown

    async def top(self, name: str, arguments: str) -> dict[str, Any]:
        """Its processes."""
        return await top.top(self.find(name), arguments)

    def logs(self, name: str, query: attach.LogQuery) -> tuple[bool, AsyncIterator[bytes]]:
        """Whether the stream is raw, and the stream of what was printed."""
        live = self.find(name)
        attach.check_logs(live.record, query)
        return live.record.has_tty, attach.read(self._ground, live, query)

    def stats(self, name: str) -> AsyncIterator[dict[str, Any]]:
        """A sample a second."""
        return stats.stream(self._ground, self.find(name))

    async def stats_once(self, name: str, *, one_shot: bool) -> dict[str, Any]:
        """One sample."""
        return await stats.once(self._ground, self.find(name), one_shot=one_shot)

    async def changes(self, name: str) -> list[dict[str, Any]]:
        """What differs from the image."""
        return await changes.changes(self._ground, self.find(name))

    def export(self, name: str) -> AsyncIterator[bytes]:
        """The whole tree as a tar."""
        live = self.find(name)
        self._ground.publish(live, "export")
        return archive.export(self._ground, live)

    async def usage(self) -> list[dict[str, Any]]:
        """Every container with its sizes, for ``system df``."""
        return await self.summaries(Filters(), show_all=True, size=True)

    # -- networks: the Members of engine/networks ---------------------------------------------------------------

    async def connect_network(self, container: str, network: Network, settings: Mapping[str, Any]) -> str:
        """Add a network to a container; its id."""
        return await members.connect(self._ground, self.find(container), network, settings)

    async def disconnect_network(self, container: str, network: Network, *, force: bool) -> str:
        """Take a network away from a container; its id."""
        return await members.disconnect(self._ground, container, network, force=force)

    def on_host_network(self) -> list[tuple[str, str]]:
        """Id and name of each running container that shares the host's network."""
        records = (live.record for live in self._ground.roster)
        return [(each.id, each.name) for each in records if each.is_running and each.network_mode == "host"]

    # -- life --------------------------------------------------------------------------------------------------

    async def create(self, request: create.Request) -> tuple[str, list[str]]:
        """Make a container; its id and warnings."""
        made = await create.create(self._ground, request)
        return made.live.record.id, made.warnings

    async def start(self, name: str) -> None:
        """Start; raises NotModified if it runs."""
        await self._lifecycle.start(self.find(name))

    async def stop(self, name: str, timeout: int | None = None, signal: str = "") -> None:
        """Stop; raises NotModified if it does not run."""
        live = self.find(name)
        await self._lifecycle.stop(live, timeout, signals.number(signal) if signal else None)

    async def restart(self, name: str, timeout: int | None = None, signal: str = "") -> None:
        """Stop and start."""
        live = self.find(name)
        await self._lifecycle.restart(live, timeout, signals.number(signal) if signal else None)

    async def kill(self, name: str, signal: str = "") -> None:
        """Send a signal, SIGKILL if none is named."""
        live = self.find(name)
        await self._lifecycle.kill(live, signals.number(signal or "SIGKILL"))

    async def pause(self, name: str) -> None:
        """Freeze."""
        await self._lifecycle.pause(self.find(name))

    async def unpause(self, name: str) -> None:
        """Thaw."""
        await self._lifecycle.unpause(self.find(name))

    async def remove(self, name: str, *, force: bool = False, with_volumes: bool = False, link: bool = False) -> None:
        """Remove; one that runs only by ``force``."""
        if link:
            links.remove(self._ground, name)
            return
        await self._lifecycle.remove(self.find(name), force=force, with_volumes=with_volumes)

    async def prune(self, filters: Filters) -> tuple[list[str], int]:
        """Remove all that do not run; ids and bytes."""
        return await prune.prune(self._ground, self._lifecycle, filters)

    async def update(self, name: str, body: Mapping[str, Any]) -> list[str]:
        """Change limits; warnings."""
        return await update.update(self._ground, self.find(name), body)

    async def rename(self, name: str, new_name: str) -> None:
        """Give another name."""
        await update.rename(self._ground, self.find(name), new_name)

    async def resize(self, name: str, height: int, width: int) -> None:
        """Set the terminal's size."""
        live = self.find(name)
        if live.task is None:
            raise Conflict(f"container {live.record.id} is not running")
        await live.task.resize(height, width)
        self._ground.publish(live, "resize", height=str(height), width=str(width))

    # -- waiting and streams -----------------------------------------------------------------------------------

    def wait(self, name: str, condition: str = "") -> asyncio.Future[Ending]:
        """Told when the condition is met; raises Invalid for an unknown one.  Registered when this returns."""
        if condition not in CONDITIONS:
            raise Invalid(f'invalid condition: "{condition}"')
        live = self.find(name)
        future: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        if condition in ("", "not-running") and not live.record.is_active:
            future.set_result(Ending(live.record.state.exit_code, live.record.state.error))
        else:
            waiter = Waiter(condition == "removed", future)
            live.waiters.append(waiter)
            future.add_done_callback(lambda _: live.waiters.remove(waiter) if waiter in live.waiters else None)
        return future

    def attach(self, name: str, wish: attach.Wish) -> Attachment:
        """A hold on its streams."""
        return attach.attach(self._ground, self.find(name), wish)

    # -- files -------------------------------------------------------------------------------------------------

    async def stat_path(self, name: str, path: str) -> dict[str, Any]:
        """What ``docker cp`` asks about a path first."""
        return await archive.stat_path(self._ground, self.find(name), path)

    async def get_archive(self, name: str, path: str) -> tuple[dict[str, Any], AsyncIterator[bytes]]:
        """What a path is, and a tar of it."""
        live = self.find(name)
        found = await archive.stat_path(self._ground, live, path)
        self._ground.publish(live, "archive-path")
        return found, archive.pack(self._ground, live, path)

    async def put_archive(
        self, name: str, path: str, body: AsyncIterator[bytes], *, keep_kinds: bool = False, copy_owner: bool = False
    ) -> None:
        """Unpack a tar in a directory."""
        live = self.find(name)
        await archive.unpack(self._ground, live, path, body, keep_kinds=keep_kinds, copy_owner=copy_owner)
        self._ground.publish(live, "extract-to-dir")
