"""Reading a container's log: whole, from a time, the last lines, and on as it grows.

The files are those of runtime/logfile.py; rotation may happen at any moment, so a file is known by its inode and the
set is ordered oldest first.  The tail of a long log is found from its end: nothing before it is read.
"""

from __future__ import annotations

import asyncio
import calendar
import gzip
import json
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from corten.kernel import watch

_BLOCK = 256 * 1024
_BATCH = 2000  # lines between two breaths of the loop
_POLL_SECONDS = 0.5  # in case the file system does not tell of changes


class LogLine(NamedTuple):
    """One entry.  ``data`` is without a newline only if the line goes on in the next entry of its stream."""

    stream: str
    time_ns: int
    data: bytes
    attrs: dict[str, str] | None = None

    @classmethod
    def parse(cls, line: bytes) -> LogLine | None:
        """None for what is no entry (a torn write, a foreign file)."""
        # Our own plain entries, which nearly all are, are cut at known places: much faster than a JSON parser.
        match = _PLAIN.fullmatch(line)
        if match:
            text, newline, stream, moment_text = match.groups()
            data = text + b"\n" if newline else text
            return cls(stream.decode(), parse_time(moment_text.decode()), data)
        try:
            body = json.loads(line)
            moment = parse_time(body["time"])
            return cls(body["stream"], moment, body["log"].encode(errors="replace"), body.get("attrs"))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


_PLAIN = re.compile(rb'\{"log":"([^"\\]*)(\\n)?","stream":"(stdout|stderr)","time":"([0-9T:-]{19}\.[0-9]{9}Z)"\}\n')
_seconds_cache: dict[str, int] = {}


def parse_time(text: str) -> int:
    """RFC 3339 in UTC to nanoseconds."""
    whole = _seconds_cache.get(text[:19])
    if whole is None:
        whole = calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
        if len(_seconds_cache) > 1000:
            _seconds_cache.clear()
        _seconds_cache[text[:19]] = whole
    fraction = text[20:].rstrip("Z") if len(text) > 20 else ""
    return whole * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or 0)


def files(path: Path) -> list[Path]:
    """The current file last, those rotated away before it, oldest first."""
    found = []
    for number in range(1, 10_000):
        plain, packed = Path(f"{path}.{number}"), Path(f"{path}.{number}.gz")
        if plain.exists():  # while it is being compressed both are there
            found.append(plain)
        elif packed.exists():
            found.append(packed)
        else:
            break
    found.reverse()
    if path.exists():
        found.append(path)
    return found


def _open(path: Path) -> IO[bytes] | None:
    """None if rotation was faster."""
    try:
        return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")  # type: ignore[return-value]
    except FileNotFoundError:
        return None


def lines_from_end(stream: IO[bytes], wanted: int) -> tuple[int, int]:
    """Where the last ``wanted`` lines begin, and how many there are (fewer at the file's start)."""
    position = stream.seek(0, os.SEEK_END)
    found = 0
    end = position
    while position > 0:
        start = max(position - _BLOCK, 0)
        stream.seek(start)
        block = stream.read(position - start)
        cut = len(block)
        while (cut := block.rfind(b"\n", 0, cut)) >= 0:
            if start + cut + 1 == end:
                continue  # the newline that ends the last line
            found += 1
            if found == wanted:
                return start + cut + 1, found
        position = start
    return 0, found + (1 if end else 0)


def _tail(paths: list[Path], wanted: int) -> Iterator[tuple[Path, int]]:
    """Files and offsets that hold the last ``wanted`` lines; compressed files are counted whole."""
    chosen: list[tuple[Path, int]] = []
    for path in reversed(paths):
        if wanted <= 0:
            break
        stream = _open(path)
        if stream is None:
            continue
        with stream:
            if path.suffix == ".gz":
                total = sum(1 for _ in stream)
                chosen.append((path, -max(total - wanted, 0)))  # negative: lines to skip
                wanted -= min(total, wanted)
            else:
                offset, count = lines_from_end(stream, wanted)
                chosen.append((path, offset))
                wanted -= count
    return reversed(chosen)


async def read(
    log_path: Path,
    *,
    tail: int | None = None,
    since_ns: int | None = None,
    until_ns: int | None = None,
    follow: bool = False,
    stopped: Callable[[], bool] | None = None,
) -> AsyncIterator[list[LogLine]]:
    """Entries, oldest first.  With ``follow`` it goes on until ``stopped`` says so and everything is read.

    Many at a time: with a million lines it is the waiting between them that costs.  ``tail`` counts lines before
    ``since_ns`` and ``until_ns`` are looked at, as Docker does.
    """
    reader = _Reader(log_path)
    wake_fd = -1
    if follow and log_path.parent.is_dir():
        wake_fd = watch.directory(str(log_path.parent))
    changed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_change() -> None:
        watch.drain(wake_fd)
        changed.set()

    if wake_fd >= 0:
        loop.add_reader(wake_fd, on_change)
    try:
        reader.begin(tail)
        while True:
            changed.clear()
            ended = not follow or (stopped is not None and stopped())  # asked before reading: no last line is lost
            for batch in reader.batches():
                entries, is_past = _between(batch, since_ns, until_ns)
                if entries:
                    yield entries
                if is_past:
                    return
                await asyncio.sleep(0)
            if ended or (until_ns is not None and time.time_ns() > until_ns):
                return
            try:
                async with asyncio.timeout(_POLL_SECONDS):
                    await changed.wait()
            except TimeoutError:
                pass
    finally:
        if wake_fd >= 0:
            loop.remove_reader(wake_fd)
            os.close(wake_fd)
        reader.close()


def _between(batch: list[bytes], since_ns: int | None, until_ns: int | None) -> tuple[list[LogLine], bool]:
    """The entries of a time, and whether what follows is later than that."""
    entries: list[LogLine] = []
    for raw in batch:
        entry = LogLine.parse(raw)
        if entry is None or (since_ns is not None and entry.time_ns < since_ns):
            continue
        if until_ns is not None and entry.time_ns > until_ns:
            return entries, True
        entries.append(entry)
    return entries, False


class _Reader:
    """The raw lines of a rotating set of files, each once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[tuple[Path, int]] = []
        self._current: IO[bytes] | None = None
        self._inode = 0
        self._torn = b""

    def begin(self, tail: int | None) -> None:
        """Decide where to start."""
        paths = files(self._path)
        self._waiting = [(each, 0) for each in paths] if tail is None else list(_tail(paths, tail))
        if tail is not None and not self._waiting and paths and paths[-1] == self._path:
            self._waiting = [(self._path, paths[-1].stat().st_size)]

    def batches(self) -> Iterator[list[bytes]]:
        """Everything there is now, some thousand lines at a time."""
        while True:
            if self._current is None and not self._advance():
                return
            assert self._current is not None
            while lines := self._current.readlines(_BATCH * 100):
                yield self._whole(lines)
            if not self._waiting and not self._was_rotated():
                return
            # What came between our last read and the rotation is still in the file that we hold.
            while lines := self._current.readlines(_BATCH * 100):
                yield self._whole(lines)
            self._current.close()
            self._current = None

    def _whole(self, lines: list[bytes]) -> list[bytes]:
        if self._torn:
            lines[0] = self._torn + lines[0]
            self._torn = b""
        if not lines[-1].endswith(b"\n"):
            self._torn = lines.pop()
        return lines

    def _advance(self) -> bool:
        while self._waiting:
            path, offset = self._waiting.pop(0)
            stream = _open(path)
            if stream is None:
                continue
            if offset > 0:
                stream.seek(offset)
            for _ in range(-offset):
                stream.readline()
            self._current = stream
            self._inode = os.stat(path).st_ino if path.suffix != ".gz" and path.exists() else 0
            return True
        stream = _open(self._path) if self._inode_now() not in (0, self._inode) else None
        if stream is None:
            return False
        self._current, self._inode = stream, os.fstat(stream.fileno()).st_ino
        return True

    def _inode_now(self) -> int:
        try:
            return os.stat(self._path).st_ino
        except FileNotFoundError:
            return 0

    def _was_rotated(self) -> bool:
        """The name leads to another file than the one we hold; several rotations ago is several files to read."""
        now = self._inode_now()
        if now in (0, self._inode):
            return self._was_cut()
        missed = []
        for path in reversed(files(self._path)[:-1]):
            if path.suffix == ".gz" or path.stat().st_ino == self._inode:
                break
            missed.append((path, 0))
        self._waiting = [*reversed(missed), (self._path, 0)]
        return True

    def _was_cut(self) -> bool:
        """A log of one file is emptied instead of renamed."""
        if (
            self._current is not None
            and self._inode
            and os.fstat(self._current.fileno()).st_size < self._current.tell()
        ):
            self._current.seek(0)
            self._torn = b""
            self._waiting = []
        return False

    def close(self) -> None:
        if self._current is not None:
            self._current.close()
