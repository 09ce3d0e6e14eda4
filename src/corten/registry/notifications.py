"""Webhooks: what happens is posted to others, in the envelope that Docker's registry uses.

Owns: a queue for each webhook, its retries and its limits.  A webhook that is down never delays a push: happenings
wait in a bounded queue, the oldest are dropped and counted when it is full.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import deque
from datetime import UTC, datetime
from typing import Any

import aiohttp
from aiohttp import web

from corten.registry.call import Happening
from corten.registry.config import Webhook
from corten.spec.distribution import Endpoint, Kind

_log = logging.getLogger(__name__)
_QUEUE_LIMIT = 1000
_BATCH = 50
_MEDIA_TYPE = "application/vnd.docker.distribution.events.v1+json"


class Notifications:
    """The listener that posts."""

    def __init__(self, webhooks: tuple[Webhook, ...]) -> None:
        self._queues = [_Queue(webhook) for webhook in webhooks]

    def tell(self, happening: Happening, request: web.Request, actor: str) -> None:
        """See call.Listener."""
        interested = [queue for queue in self._queues if happening.action in queue.webhook.actions]
        if interested:
            event = _event(happening, request, actor)
            for queue in interested:
                queue.put(event)

    async def run(self) -> None:
        """Post until cancelled."""
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            for queue in self._queues:
                group.create_task(queue.run(session))

    async def flush(self, timeout: float = 5.0) -> None:
        """Wait until everything that was told is posted or given up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                for queue in self._queues:
                    await queue.idle.wait()


class _Queue:
    """What waits for one webhook."""

    def __init__(self, webhook: Webhook) -> None:
        self.webhook = webhook
        self.idle = asyncio.Event()
        self.idle.set()
        self._waiting: deque[dict[str, Any]] = deque(maxlen=_QUEUE_LIMIT)
        self._arrived = asyncio.Event()

    def put(self, event: dict[str, Any]) -> None:
        if len(self._waiting) == _QUEUE_LIMIT:
            _log.warning("webhook %s is too slow: an event is dropped", self.webhook.url)
        self._waiting.append(event)
        self.idle.clear()
        self._arrived.set()

    async def run(self, session: aiohttp.ClientSession) -> None:
        while True:
            await self._arrived.wait()
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            await self._post(session, batch)
            if not self._waiting:
                self._arrived.clear()
                self.idle.set()

    async def _post(self, session: aiohttp.ClientSession, events: list[dict[str, Any]]) -> None:
        pause = self.webhook.backoff
        headers = {**self.webhook.headers, "Content-Type": _MEDIA_TYPE}
        for attempt in range(self.webhook.attempts):
            if attempt:
                await asyncio.sleep(pause)
                pause = min(pause * 2, 60.0)
            try:
                timeout = aiohttp.ClientTimeout(total=self.webhook.timeout)
                async with session.post(
                    self.webhook.url, json={"events": events}, headers=headers, timeout=timeout
                ) as response:
                    if response.status < 400:
                        return
                    reason = f"status {response.status}"
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                reason = str(error) or type(error).__name__
            _log.warning("webhook %s: %s", self.webhook.url, reason)
        _log.error("webhook %s: %d events given up", self.webhook.url, len(events))


def _event(happening: Happening, request: web.Request, actor: str) -> dict[str, Any]:
    target: dict[str, Any] = {"repository": happening.repository}
    if happening.digest is not None:
        kind = Kind.MANIFEST if "manifest" in happening.media_type or "index" in happening.media_type else Kind.BLOB
        path = Endpoint(kind, happening.repository, str(happening.digest))
        target |= {
            "mediaType": happening.media_type,
            "digest": str(happening.digest),
            "size": happening.size,
            "length": happening.size,
            "url": f"{request.scheme}://{request.host}{path}",
        }
    if happening.tag:
        target["tag"] = happening.tag
    if happening.from_repository:
        target["fromRepository"] = happening.from_repository
    return {
        "id": str(uuid.uuid4()),
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "action": happening.action,
        "target": target,
        "request": {
            "id": str(uuid.uuid4()),
            "addr": request.remote or "",
            "host": request.host,
            "method": request.method,
            "useragent": request.headers.get("User-Agent", ""),
        },
        "actor": {"name": "" if actor == "anonymous" else actor},
        "source": {"addr": request.host},
    }
