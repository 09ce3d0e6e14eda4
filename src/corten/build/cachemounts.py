"""Cache mounts: directories that outlive a build, shared by RUNs that name the same id.

    <mounts>/<digest of the id>/<n>/      n is 0; 1, 2 … are made for "private" mounts that run side by side

Owns who uses which directory now (one Builder, one CacheMounts).  "shared": any number at once; "locked": one after
another; "private": each its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from corten.build.dockerfile.runmount import RunMount

Seed = Callable[[Path], None]


@dataclass(slots=True)
class _Use:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    taken: set[int] = field(default_factory=set)
    users: int = 0


class CacheMounts:
    """Hands out directories for ``RUN --mount=type=cache``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._uses: dict[str, _Use] = {}

    def is_used(self, name: str) -> bool:
        """Does a running step have the directory of this name?"""
        return name in self._uses

    @asynccontextmanager
    async def acquire(self, mount: RunMount, target: str, seed: Seed | None) -> AsyncIterator[Path]:
        """The directory for this mount; ``seed`` fills it when it is new."""
        name = hashlib.sha256((mount.id or target).encode()).hexdigest()
        use = self._uses.setdefault(name, _Use())
        use.users += 1
        try:
            if mount.sharing == "locked":
                async with use.lock:
                    yield self._directory_of(name, 0, mount, seed)
            elif mount.sharing == "private":
                number = next(free for free in range(len(use.taken) + 1) if free not in use.taken)
                use.taken.add(number)
                try:
                    yield self._directory_of(name, number, mount, seed)
                finally:
                    use.taken.discard(number)
            else:
                yield self._directory_of(name, 0, mount, seed)
        finally:
            use.users -= 1
            if not use.users:
                self._uses.pop(name, None)

    def _directory_of(self, name: str, number: int, mount: RunMount, seed: Seed | None) -> Path:
        path = self._directory / name / str(number)
        if path.is_dir():
            os.utime(path.parent)  # the accountant removes the least recently used first
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{number}.new-{os.urandom(4).hex()}")
        fresh.mkdir(mode=0o700)
        if seed is not None:
            seed(fresh)
        os.chown(fresh, mount.uid or 0, mount.gid or 0)
        os.chmod(fresh, 0o755 if mount.mode is None else mount.mode)
        os.rename(fresh, path)
        return path
