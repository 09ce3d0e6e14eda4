"""What this package needs of whoever builds, and the values that cross.  engine/builds/buildkit/ supplies it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from corten.buildkit.board import Board
from corten.buildkit.messages.control import Exporter, PruneRequest, UsageRecord
from corten.buildkit.messages.session import Stat
from corten.buildkit.messages.shared import CacheEntry, WorkerRecord
from corten.buildkit.sessions import Sessions


@dataclass(frozen=True, slots=True)
class Order:
    """A frontend to run: its options as the client sends them ("build-arg:X", "target", "context:name").

    ``inputs`` are results of other solves that options may name ("input:x"): ids of images.
    """

    frontend: str
    options: Mapping[str, str]
    session: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    entitlements: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Built:
    """What a frontend made: an image, one for each platform, or, for a question about the Dockerfile, only metadata."""

    image_id: str
    metadata: Mapping[str, bytes]
    # What the build used and made, for caches that are exported; only who built it looks inside.
    trip: object = None
    variants: Sequence[tuple[str, Built]] = ()


class Workshop(Protocol):
    """Builds, exports, and tells about itself."""

    async def build(self, order: Order, board: Board, sessions: Sessions) -> Built:
        """Run a frontend."""

    async def export(
        self, built: Built, exporters: Sequence[Exporter], session: str, board: Board, sessions: Sessions
    ) -> dict[str, str]:
        """Give the result to where it is wanted; what is told about it."""

    async def export_cache(
        self, built: Built, exports: Sequence[CacheEntry], session: str, board: Board, sessions: Sessions
    ) -> dict[str, str]:
        """Write what another build can continue from; what is told about it.  Raises for what cannot be written."""

    async def image_config(self, name: str, platform: str | None, board: Board) -> tuple[str, bytes]:
        """The id and configuration of an image, pulled where it lacks."""

    async def read(self, image_id: str, path: str, offset: int, length: int) -> bytes:
        """A part of a file of an image; all of it where ``length`` is 0."""

    async def stat(self, image_id: str, path: str) -> Stat:
        """A file of an image."""

    async def list(self, image_id: str, path: str, pattern: str) -> list[Stat]:
        """A directory of an image."""

    def worker(self) -> WorkerRecord:
        """Who works here."""

    def usage(self) -> Sequence[UsageRecord]:
        """What the cache holds."""

    def prune(self, request: PruneRequest) -> Sequence[UsageRecord]:
        """Forget what the cache holds; what went."""
