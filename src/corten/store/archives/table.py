"""A tar on disk -> where each member's bytes are.

Layers are unpacked from inside the archive: nothing is copied out.  Owns: finding members by name, through the links
that old ``docker save`` wrote for layers that two images share.  Hostile archives give Invalid.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from corten.errors import Invalid, NotFound
from corten.store.layers import header
from corten.store.layers.apply import DEFAULT_LIMIT
from corten.store.layers.reader import TarReader
from corten.store.layers.stream import Extent, Inflow, compression_of
from corten.store.layers.target import inside

MAX_MEMBERS = 200_000
MAX_HOPS = 16
MAX_TEXT = 16 << 20
READ = 1 << 16


class Table:
    """The members of one archive."""

    def __init__(self, path: Path, members: dict[str, Extent], links: dict[str, str]) -> None:
        self._path = path
        self._members = members
        self._links = links

    @classmethod
    def of(cls, path: Path, scratch: Path, *, limit: int = DEFAULT_LIMIT) -> Table:
        """The table of the tar at ``path``; one that is compressed is decompressed to ``scratch`` first."""
        with open(path, "rb") as file:
            compression = compression_of(file.read(8))
        if compression:
            plain = scratch / "archive.tar"
            with Inflow(path, limit=limit) as inflow, open(plain, "wb") as out:
                for chunk in inflow:
                    out.write(chunk)
            path = plain
        members: dict[str, Extent] = {}
        links: dict[str, str] = {}
        chunks = _Chunks(path)
        try:
            reader = TarReader(chunks, skip=chunks.skip)
            for entry in reader:
                name = inside(entry.name, "name")
                if entry.kind == header.REGULAR and entry.sparse is None:
                    members[name] = Extent(str(path), reader.offset, entry.size)
                elif entry.kind == header.LINK:
                    links[name] = inside(entry.link, "hard link")
                elif entry.kind == header.SYMLINK:
                    links[name] = inside(os.path.join(os.path.dirname(entry.name), entry.link), "symbolic link")
                if len(members) + len(links) > MAX_MEMBERS:
                    raise Invalid("invalid archive: too many members")
        finally:
            chunks.close()
        return cls(path, members, links)

    def has(self, name: str) -> bool:
        """Is there such a member?"""
        return name in self._members or name in self._links

    def extent(self, name: str) -> Extent:
        """Where the member's bytes are; NotFound if there is none."""
        at = inside(name.encode(), "name")
        for _ in range(MAX_HOPS):
            if at in self._members:
                return self._members[at]
            if at not in self._links:
                break
            at = self._links[at]
        raise NotFound(f"the archive has no {name}")

    def read(self, name: str) -> bytes:
        """The bytes of a small member."""
        extent = self.extent(name)
        if extent.size is None or extent.size > MAX_TEXT:
            raise Invalid(f"invalid archive: {name} is larger than {MAX_TEXT} bytes")
        with open(extent.path, "rb") as file:
            file.seek(extent.offset)
            return file.read(extent.size)


class _Chunks:
    """The bytes of a file from its beginning, with the means to step over some."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._size = os.fstat(self._fd).st_size

    def __iter__(self) -> Iterator[bytes]:
        while data := os.read(self._fd, READ):
            yield data

    def skip(self, size: int) -> None:
        if os.lseek(self._fd, size, os.SEEK_CUR) > self._size:
            raise Invalid("invalid tar stream: unexpected end of data")

    def close(self) -> None:
        os.close(self._fd)
