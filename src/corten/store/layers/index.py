"""A layer's tar, kept as it is, and the EROFS index through which it is mounted.

    <directory>/layer.tar      the exact bytes that have the diff ID, not compressed
    <directory>/layer.erofs    inodes, names and links; the data of files is in the tar

Owns: making both in one pass over a blob, and dressing directories of the index as the layers below have them.  What
becomes of each entry: index_tree.py.  The index is moved to its name when it is whole.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from corten.errors import Invalid
from corten.kernel import erofs
from corten.kernel.erofs import Attributes
from corten.spec.digest import Digest
from corten.store.layers.apply import DEFAULT_LIMIT, Applied
from corten.store.layers.header import BLOCK
from corten.store.layers.index_tree import IndexTree, Unindexable, write
from corten.store.layers.reader import TarReader
from corten.store.layers.settle import look_up
from corten.store.layers.stream import Extent, Inflow, compression_of

TAR, INDEX = "layer.tar", "layer.erofs"
_STAGED = ".layer.erofs"


def index_layer(
    source: Extent,
    directory: Path,
    *,
    lowest: bool,
    expected: Digest | None = None,
    limit: int = DEFAULT_LIMIT,
    progress: Callable[[int], None] | None = None,
) -> Applied:
    """Keep the tar at ``source`` (any compression) and index it.

    Invalid if it is bad or not ``expected``; Unindexable, with nothing left, if it must be unpacked.
    """
    try:
        with Inflow(source, limit=limit, progress=progress) as inflow, open(directory / TAR, "xb", buffering=0) as out:
            reader = TarReader(_kept(inflow, out))
            tree = IndexTree(lowest=lowest)
            for entry in reader:
                tree.add(entry, reader.offset)
            reader.drain()
        if expected is not None and inflow.plain != expected:
            raise Invalid(f"invalid layer: expected diff ID {expected}, got {inflow.plain}")
        if inflow.plain_size % BLOCK:
            raise Unindexable("its end is cut off")
        with open(directory / _STAGED, "wb") as out:
            out.writelines(write(tree, inflow.plain_size // BLOCK))
        os.rename(directory / _STAGED, directory / INDEX)
    except Unindexable:
        for name in (TAR, _STAGED):
            (directory / name).unlink(missing_ok=True)
        raise
    return Applied(
        diff_id=inflow.plain,
        digest=inflow.packed,
        compression=inflow.compression,
        tar_size=inflow.plain_size,
        size=tree.size,
        inodes=tree.inodes,
        implied=tuple(tree.implied()),
        root=tree.root,
        indexed=True,
    )


def dress(directory: Path, lowers: Sequence[Path], implied: Iterable[str], *, root: bool) -> None:
    """Give ``implied`` directories, and the root unless its tar told of it, the looks that ``lowers`` have.

    The index is not mounted yet.  Attributes beyond owner, mode and time are not taken over.
    """
    if not lowers:
        return
    wanted: list[tuple[str, os.stat_result]] = [] if root else [("", os.stat(lowers[0]))]
    for path in implied:
        below = look_up(lowers, path)
        if below is not None and stat.S_ISDIR((found := os.lstat(below)).st_mode):
            wanted.append((path, found))
    if not wanted:
        return
    with open(directory / INDEX, "r+b") as file, mmap.mmap(file.fileno(), 0) as index:
        for path, like in wanted:
            with memoryview(index) as view:
                offset = erofs.find(view, path)
            looks = Attributes(stat.S_IMODE(like.st_mode), like.st_uid, like.st_gid, like.st_mtime_ns)
            body = erofs.dressed(index[offset : offset + erofs.INODE], looks)
            index[offset : offset + len(body)] = body


def _kept(chunks: Iterable[bytes], out: IO[bytes]) -> Iterator[bytes]:
    is_first = True
    for chunk in chunks:
        if is_first and compression_of(chunk[:BLOCK]):
            raise Unindexable("what reads it again would take it for compressed")
        is_first = False
        view = memoryview(chunk)
        while view:
            view = view[out.write(view) :]
        yield chunk
