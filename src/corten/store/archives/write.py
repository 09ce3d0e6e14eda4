"""A plan of members -> the bytes of an archive.

Owns: Member and its way through the pipe to a worker.  Every layer is checked against its diff ID while it goes out;
one that was changed cuts the archive short.
"""

from __future__ import annotations

import base64
import hashlib
import os
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from corten.errors import Internal
from corten.spec.digest import Digest
from corten.store.layers import header
from corten.store.layers.header import Entry, padding
from corten.store.layers.printing import Source, print_source
from corten.store.layers.writer import Counter, TarWriter

PIECE = 1 << 18
DEPTH = 8


@dataclass(frozen=True, slots=True)
class Member:
    """One member: a directory (its name ends with a slash), bytes, a file, or a layer to be printed."""

    name: str
    size: int = 0
    data: bytes | None = None
    path: Path | None = None
    source: Source | None = None
    expected: Digest | None = None

    def to_json(self) -> dict[str, Any]:
        """For the pipe to a worker."""
        return {
            "name": self.name,
            "size": self.size,
            "data": base64.b64encode(self.data).decode() if self.data is not None else None,
            "path": str(self.path) if self.path else None,
            "source": self.source.to_json() if self.source else None,
            "expected": str(self.expected) if self.expected else None,
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Member:
        """From the pipe."""
        return cls(
            name=body["name"],
            size=body["size"],
            data=base64.b64decode(body["data"]) if body["data"] is not None else None,
            path=Path(body["path"]) if body["path"] else None,
            source=Source.from_json(body["source"]) if body["source"] else None,
            expected=Digest.parse(body["expected"]) if body["expected"] else None,
        )


def write_archive(members: Sequence[Member], write: Callable[[bytes | bytearray], object]) -> int:
    """Print the archive through ``write``; its size."""
    writer = TarWriter(write)
    for member in members:
        name = member.name.encode()
        if name.endswith(b"/"):
            writer.add(Entry(name, header.DIRECTORY, mode=0o755))
            continue
        writer.add(Entry(name, size=member.size))
        if member.data is not None:
            writer.text(member.data)
        elif member.path is not None:
            fd = os.open(member.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                writer.data(fd, member.size)
            finally:
                os.close(fd)
        elif member.source is not None:
            _layer(writer, member, member.source)
    writer.finish()
    return writer.size


def measure(members: Sequence[Member]) -> int:
    """How long the archive is."""
    counter = Counter()
    for member in members:
        directory = member.name.endswith("/")
        counter.add(Entry(member.name.encode(), header.DIRECTORY if directory else header.REGULAR, size=member.size))
        counter.size += member.size + padding(member.size)
    counter.finish()
    return counter.size


def _layer(writer: TarWriter, member: Member, source: Source) -> None:
    with _Checked(writer) as checked:
        print_source(source, checked.write)
        checked.flush()
    if checked.size != member.size or (member.expected is not None and checked.digest != member.expected):
        raise Internal(f"layer {member.expected}: its files were changed")
    writer.pad(checked.size)


class _Checked:
    """Between a layer's source and the archive: gathers small pieces, and hashes them on a thread of its own."""

    def __init__(self, writer: TarWriter) -> None:
        self._writer = writer
        self._pending = bytearray()
        self._hash = hashlib.sha256()
        self._hashing: queue.Queue[bytes | bytearray | None] = queue.Queue(DEPTH)
        self._thread = threading.Thread(target=self._run, name="hash", daemon=True)
        self.size = 0

    def write(self, data: bytes | bytearray) -> None:
        self.size += len(data)
        if len(data) >= PIECE:
            self.flush()
            self._pass(data)
            return
        self._pending += data
        if len(self._pending) >= PIECE:
            self.flush()

    def flush(self) -> None:
        if self._pending:
            self._pass(self._pending)
            self._pending = bytearray()

    @property
    def digest(self) -> Digest:
        """Once it was left."""
        return Digest.from_hash(self._hash)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hashing.put(None)
        self._thread.join()

    def _pass(self, data: bytes | bytearray) -> None:
        self._hashing.put(data)
        self._writer.raw(data)

    def _run(self) -> None:
        while (data := self._hashing.get()) is not None:
            self._hash.update(data)
