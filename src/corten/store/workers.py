"""A small pool of worker processes, and what they do, as coroutines.

Unpacking, packing and hashing take processors and meet hostile bytes, so they run elsewhere: ``python -I``, started
when first needed, each in a process group of its own, one job at a time.  A cancelled or overdue job's worker is
killed; a worker that died gives a clear error.  What a killed job left half-made is the caller's to drop (unpack.py).
Owns: the processes.  What they run: worker.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import corten
from corten import errors
from corten.errors import CortenError, Internal
from corten.spec.digest import Digest
from corten.spec.platform import Platform
from corten.store.archives.read import ArchivedImage
from corten.store.archives.write import Member
from corten.store.layers.apply import DEFAULT_LIMIT, Applied, Whiteouts
from corten.store.layers.changes import Change
from corten.store.layers.pack import Packed, pack
from corten.store.layers.printing import Printed, Source
from corten.store.layers.stream import Extent
from corten.store.snapshots.base import Usage
from corten.store.worker import LENGTH

JOB_SECONDS = 3600.0
IDLE_SECONDS = 60.0
# A tree this small is packed by the daemon itself: a worker costs a millisecond, its start fifty.
SMALL_ENTRIES, SMALL_BYTES = 64, 512 << 10
MIDDLE_ENTRIES, MIDDLE_BYTES = 512, 4 << 20

_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from corten.store.worker import main; main()"

Progress = Callable[[int], None]


class Workers:
    """Up to ``size`` processes; the default is one a processor, two at least."""

    def __init__(self, size: int | None = None, *, timeout: float = JOB_SECONDS) -> None:
        self._size = size or max(2, os.cpu_count() or 1)
        self._slots = asyncio.Semaphore(self._size)
        self._timeout = timeout
        self._idle: list[asyncio.subprocess.Process] = []
        self._busy: set[asyncio.subprocess.Process] = set()
        self._reaper: asyncio.TimerHandle | None = None
        self._ends: set[asyncio.Task[int]] = set()
        self._warming: asyncio.Task[None] | None = None

    async def apply(
        self,
        source: Path,
        target: Path,
        *,
        whiteouts: Whiteouts = Whiteouts.KEEP,
        lowers: Sequence[Path] | None = None,
        expected: Digest | None = None,
        limit: int = DEFAULT_LIMIT,
        recipe: Path | None = None,
        beds: Path | None = None,
        progress: Progress | None = None,
        offset: int = 0,
        size: int | None = None,
    ) -> Applied:
        """layers/apply.py: unpack a tar (a part of ``source``, with ``offset`` and ``size``).

        With ``lowers`` what it needs of them is settled too.
        """
        body = await self._run(
            {
                "job": "apply",
                "source": str(source),
                "offset": offset,
                "size": size,
                "target": str(target),
                "whiteouts": whiteouts.value,
                "lowers": _texts(lowers) if lowers is not None else None,
                "expected": str(expected) if expected else None,
                "limit": limit,
                "recipe": str(recipe) if recipe else None,
                "beds": str(beds) if beds else None,
            },
            progress,
        )
        return Applied.from_json(body)

    async def settle(self, tree: Path, lowers: Sequence[Path], applied: Applied) -> None:
        """layers/settle.py, or index.py: what a layer needs of those below it."""
        if applied.indexed and lowers and applied.needs_lowers:
            looks = {"implied": list(applied.implied), "root": applied.root}
            await self._run({"job": "dress", "directory": str(tree.parent), "lowers": _texts(lowers), **looks})
        elif not applied.indexed and applied.needs_lowers:
            links = [list(pair) for pair in applied.links]
            job = {"job": "settle", "tree": str(tree), "lowers": _texts(lowers), "implied": list(applied.implied)}
            await self._run({**job, "links": links})

    async def index(
        self,
        source: Extent,
        directory: Path,
        *,
        lowest: bool,
        expected: Digest | None,
        limit: int,
        progress: Progress | None,
    ) -> Applied | None:
        """layers/index.py: keep a tar and index it; None, and nothing, if it must be unpacked."""
        where = {"source": source.path, "offset": source.offset, "size": source.size, "directory": str(directory)}
        what = {"lowest": lowest, "expected": str(expected) if expected else None, "limit": limit}
        body = await self._run({"job": "index", **where, **what}, progress)
        return Applied.from_json(body["applied"]) if body["applied"] else None

    async def pack(self, tree: Path, out: Path | None = None, *, epoch: int | None = None) -> Packed:
        """layers/pack.py: print a directory of changes, or only find its diff ID."""
        if out is None and is_within(tree, SMALL_ENTRIES, SMALL_BYTES):
            return pack(tree, epoch=epoch)
        if out is None and is_within(tree, MIDDLE_ENTRIES, MIDDLE_BYTES):
            return await asyncio.to_thread(pack, tree, epoch=epoch)
        job = {"job": "pack", "tree": str(tree), "out": str(out) if out else None, "epoch": epoch}
        return Packed.from_json(await self._run(job))

    async def print_layer(
        self, source: Source, out: Path, compression: str = "", *, expected: Digest | None = None
    ) -> Printed:
        """layers/printing.py: write a layer's tar, compressed or not, from wherever its bytes are."""
        job = {"job": "print", "source": source.to_json(), "out": str(out), "compression": compression}
        return Printed.from_json(await self._run({**job, "expected": str(expected) if expected else None}))

    async def hash(self, path: Path, algorithm: str = "sha256") -> Digest:
        """The digest of a file."""
        body = await self._run({"job": "hash", "path": str(path), "algorithm": algorithm})
        return Digest.parse(body["digest"])

    async def usage(self, tree: Path) -> Usage:
        """Bytes and inodes of a tree."""
        body = await self._run({"job": "usage", "tree": str(tree)})
        return Usage(body["size"], body["inodes"])

    async def copy(self, source: Path, target: Path) -> None:
        """tree.py: copy a tree into an empty directory."""
        await self._run({"job": "copy", "source": str(source), "target": str(target)})

    async def changes(self, upper: Path, lowers: Sequence[Path]) -> list[Change]:
        """layers/changes.py: what a directory of changes changes."""
        body = await self._run({"job": "changes", "upper": str(upper), "lowers": _texts(lowers)})
        return [Change(kind, path) for kind, path in body["changes"]]

    async def measure(self, source: Source) -> int:
        """layers/printing.py: how long a layer's plain tar is."""
        body = await self._run({"job": "measure", "source": source.to_json()})
        return int(body["size"])

    async def read_archive(self, path: Path, scratch: Path, platform: Platform | None = None) -> list[ArchivedImage]:
        """archives/read.py: the images in an archive; ``scratch`` must live as long as they are used."""
        job = {"job": "archive", "path": str(path), "scratch": str(scratch)}
        body = await self._run({**job, "platform": str(platform) if platform else None})
        return [ArchivedImage.from_json(image) for image in body["images"]]

    async def save(self, members: Sequence[Member], out: Path) -> None:
        """archives/write.py: write an archive to a file or a pipe."""
        job = {"job": "save", "members": [member.to_json() for member in members], "out": str(out)}
        # Out of turn: whoever reads the pipe slowly must not keep builds waiting.
        await self._work(job)

    def warm(self) -> None:
        """Jobs are about to come: start what is missing, so that its imports are done by then."""
        if self._warming is None or self._warming.done():
            self._warming = asyncio.ensure_future(self._warm())

    async def _warm(self) -> None:
        while len(self._idle) + len(self._busy) < self._size:
            self._idle.append(await self._start())
        self._reap_later()

    async def close(self) -> None:
        """Kill every worker."""
        if self._warming is not None:
            await asyncio.gather(self._warming, return_exceptions=True)
        if self._reaper is not None:
            self._reaper.cancel()
        for process in [*self._idle, *self._busy]:
            self._kill(process)
        self._idle.clear()
        await asyncio.gather(*self._ends, return_exceptions=True)

    async def _run(self, job: dict[str, Any], progress: Progress | None = None) -> dict[str, Any]:
        async with self._slots:
            return await self._work(job, progress)

    async def _work(self, job: dict[str, Any], progress: Progress | None = None) -> dict[str, Any]:
        process = self._next_idle() or await self._start()
        self._busy.add(process)
        try:
            async with asyncio.timeout(self._timeout):
                answer = await _talk(process, {**job, "progress": progress is not None}, progress)
        except TimeoutError:
            self._kill(process)
            raise Internal(f"{job['job']}: not done after {self._timeout:.0f} seconds; its worker was killed") from None
        except BaseException:
            self._kill(process)
            raise
        finally:
            self._busy.discard(process)
        if process.returncode is None:
            self._idle.append(process)
            self._reap_later()
        if "error" in answer:
            raise _error(answer["error"])
        result: dict[str, Any] = answer["result"]
        return result

    def _next_idle(self) -> asyncio.subprocess.Process | None:
        while self._idle:
            process = self._idle.pop()
            if process.returncode is None:
                return process
        return None

    async def _start(self) -> asyncio.subprocess.Process:
        root = str(Path(corten.__file__).parent.parent)
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-c",
            _PROGRAM,
            root,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            process_group=0,
        )

    def _kill(self, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        end = asyncio.ensure_future(process.wait())
        self._ends.add(end)
        end.add_done_callback(self._ends.discard)

    def _reap_later(self) -> None:
        """Workers that nobody needed for a while give their memory back."""
        if self._reaper is not None:
            self._reaper.cancel()
        self._reaper = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._reap)

    def _reap(self) -> None:
        for process in self._idle:
            self._kill(process)
        self._idle.clear()


async def _talk(process: asyncio.subprocess.Process, job: dict[str, Any], progress: Progress | None) -> dict[str, Any]:
    """Send a job and read frames until its answer."""
    if process.stdin is None or process.stdout is None:
        raise Internal("a worker without pipes")
    data = json.dumps(job).encode()
    try:
        process.stdin.write(LENGTH.pack(len(data)) + data)
        await process.stdin.drain()
        while True:
            head = await process.stdout.readexactly(LENGTH.size)
            body: dict[str, Any] = json.loads(await process.stdout.readexactly(LENGTH.unpack(head)[0]))
            if "progress" not in body:
                return body
            if progress is not None:
                progress(body["progress"])
    except (asyncio.IncompleteReadError, ConnectionError):
        status = await process.wait()
        end = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        raise Internal(f"{job['job']}: the worker process was {end} before it was done") from None


def is_within(tree: Path, entries: int, size: int) -> bool:
    """Has ``tree`` at most so many entries and bytes?  Looks no further than it must."""
    pending = [os.fspath(tree)]
    while pending:
        with os.scandir(pending.pop()) as found:
            for entry in found:
                entries -= 1
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    size -= entry.stat(follow_symlinks=False).st_size
                if entries < 0 or size < 0:
                    return False
    return True


def _error(body: dict[str, str]) -> CortenError:
    kind = getattr(errors, body["class"], Internal)
    if not (isinstance(kind, type) and issubclass(kind, CortenError)):
        kind = Internal
    return kind(body["message"])


def _texts(paths: Sequence[Path]) -> list[str]:
    return [str(path) for path in paths]
