"""The files of an image without a container: as a tar, and compared.

Owns: what `build --output` and `image diff` ask for.  Nothing is mounted where anybody sees it (rootview.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from corten.engine.containers import rootview, tarout
from corten.engine.containers.archive import streamed
from corten.engine.containers.pipes import BytePipe
from corten.engine.images.ground import ImageGround
from corten.kernel.paths import Root
from corten.spec.digest import Digest
from corten.spec.image import chain_ids
from corten.store.images import ImageRecord

# docker: Kind of a row of /containers/{id}/changes.
MODIFIED, ADDED, DELETED = 0, 1, 2
_KINDS = {"C": MODIFIED, "A": ADDED, "D": DELETED}


@contextlib.contextmanager
def root(ground: ImageGround, record: ImageRecord) -> Iterator[Root]:
    """An image's files, seen by nobody else."""
    chain = record.config.chain_id
    if chain is None:
        with ground.scratch() as empty, Root.at(empty) as nothing:
            yield nothing
        return
    with rootview.detached(ground.snapshots.mounts(str(chain))) as found:
        yield found


def tar(ground: ImageGround, record: ImageRecord) -> AsyncIterator[bytes]:
    """All files, as a stream."""

    def work(pipe: BytePipe) -> None:
        with root(ground, record) as files:
            tarout.write_tree(pipe, files, "/", "")

    return streamed(work)


async def changes(ground: ImageGround, record: ImageRecord, before: ImageRecord | None) -> Sequence[dict[str, Any]]:
    """Rows with ``Layer``, ``Size``, ``CreatedBy`` and ``Changes``; one row against another image."""
    if before is not None:
        found = await asyncio.to_thread(_compared, ground, before, record)
        return [{"Layer": "", "Size": 0, "CreatedBy": "", "Changes": found}]
    rows: list[dict[str, Any]] = []
    steps = [entry for entry in record.config.history if not entry.get("empty_layer")]
    for at, (diff_id, chain) in enumerate(zip(record.config.diff_ids, chain_ids(record.config.diff_ids), strict=True)):
        rows.append(await _layer(ground, diff_id, chain, steps[at] if at < len(steps) else {}))
    return rows


async def _layer(ground: ImageGround, diff_id: Digest, chain: Digest, step: Any) -> dict[str, Any]:
    snapshots, key = ground.snapshots, str(chain)
    found = await ground.workers.changes(snapshots.upper(key), snapshots.lowers(key))
    return {
        "Layer": str(diff_id),
        "Size": snapshots.usage(key).size,
        "CreatedBy": str(step.get("created_by", "")),
        "Changes": [{"Kind": _KINDS[change.kind], "Path": change.path} for change in found],
    }


def _compared(ground: ImageGround, before: ImageRecord, after: ImageRecord) -> list[dict[str, Any]]:
    with root(ground, before) as one, root(ground, after) as other:
        old, new = dict(_signed(one)), dict(_signed(other))
    rows = [
        {"Kind": ADDED if path not in old else MODIFIED, "Path": path} for path in new if old.get(path) != new[path]
    ]
    rows += [{"Kind": DELETED, "Path": path} for path in old if path not in new]
    return sorted(rows, key=lambda row: str(row["Path"]))


def _signed(files: Root) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Each path with what tells that it changed; a directory's times say nothing of its own."""
    for path, status in files.walk("/"):
        signature: tuple[object, ...] = (status.st_mode, status.st_uid, status.st_gid, status.st_rdev)
        if not stat.S_ISDIR(status.st_mode):
            signature += (status.st_size, status.st_mtime_ns)
        if stat.S_ISLNK(status.st_mode):
            signature += (files.readlink(path),)
        yield path, signature
