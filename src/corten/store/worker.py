"""What runs in a worker process: one job at a time, told and answered over pipes.

    in    <u32 length> {"job": name, …}
    out   <u32 length> {"progress": n} …, then {"result": {…}} or {"error": {"class": name, "message": text}}

Owns: the table of jobs.  Ends at once when the daemon's end of the pipe closes.  The pool is workers.py.
"""

from __future__ import annotations

import json
import os
import queue
import resource
import struct
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from corten.errors import CortenError, Internal
from corten.spec.digest import Digest
from corten.spec.platform import Platform
from corten.store.archives.read import read_archive
from corten.store.archives.write import Member, write_archive
from corten.store.content import hash_file
from corten.store.layers.apply import Whiteouts, apply
from corten.store.layers.changes import changes
from corten.store.layers.index import dress, index_layer
from corten.store.layers.index_tree import Unindexable
from corten.store.layers.pack import pack
from corten.store.layers.printing import Source, measure_source, print_layer
from corten.store.layers.settle import settle
from corten.store.layers.stream import Extent
from corten.store.tree import copy_tree, count_tree

LENGTH = struct.Struct("<I")
MEMORY = 8 << 30
FILES = 4096
PROGRESS_SECONDS = 0.1

Report = Callable[[int], None]


def _apply(job: dict[str, Any], report: Report) -> dict[str, Any]:
    applied = apply(
        Extent(job["source"], job["offset"], job["size"]),
        Path(job["target"]),
        whiteouts=Whiteouts(job["whiteouts"]),
        expected=Digest.parse(job["expected"]) if job["expected"] else None,
        limit=job["limit"],
        recipe=Path(job["recipe"]) if job["recipe"] else None,
        beds=Path(job["beds"]) if job["beds"] else None,
        progress=report,
    )
    if job["lowers"] is not None and (applied.implied or applied.links):
        settle(Path(job["target"]), [Path(path) for path in job["lowers"]], applied.implied, applied.links)
    return applied.to_json()


def _index(job: dict[str, Any], report: Report) -> dict[str, Any]:
    try:
        applied = index_layer(
            Extent(job["source"], job["offset"], job["size"]),
            Path(job["directory"]),
            lowest=job["lowest"],
            expected=Digest.parse(job["expected"]) if job["expected"] else None,
            limit=job["limit"],
            progress=report,
        )
    except Unindexable:
        return {"applied": None}
    return {"applied": applied.to_json()}


def _dress(job: dict[str, Any], report: Report) -> dict[str, Any]:
    dress(Path(job["directory"]), [Path(path) for path in job["lowers"]], job["implied"], root=job["root"])
    return {}


def _settle(job: dict[str, Any], report: Report) -> dict[str, Any]:
    settle(Path(job["tree"]), [Path(path) for path in job["lowers"]], job["implied"], [(a, b) for a, b in job["links"]])
    return {}


def _pack(job: dict[str, Any], report: Report) -> dict[str, Any]:
    if job["out"] is None:
        return pack(Path(job["tree"]), epoch=job["epoch"]).to_json()
    with open(job["out"], "wb") as out:
        return pack(Path(job["tree"]), out.write, epoch=job["epoch"]).to_json()


def _print(job: dict[str, Any], report: Report) -> dict[str, Any]:
    expected = Digest.parse(job["expected"]) if job["expected"] else None
    return print_layer(Source.from_json(job["source"]), Path(job["out"]), job["compression"], expected).to_json()


def _hash(job: dict[str, Any], report: Report) -> dict[str, Any]:
    return {"digest": str(hash_file(job["path"], job["algorithm"]))}


def _usage(job: dict[str, Any], report: Report) -> dict[str, Any]:
    size, inodes = count_tree(Path(job["tree"]))
    return {"size": size, "inodes": inodes}


def _copy(job: dict[str, Any], report: Report) -> dict[str, Any]:
    copy_tree(Path(job["source"]), Path(job["target"]))
    return {}


def _changes(job: dict[str, Any], report: Report) -> dict[str, Any]:
    return {"changes": changes(Path(job["upper"]), [Path(path) for path in job["lowers"]])}


def _measure(job: dict[str, Any], report: Report) -> dict[str, Any]:
    return {"size": measure_source(Source.from_json(job["source"]))}


def _save(job: dict[str, Any], report: Report) -> dict[str, Any]:
    members = [Member.from_json(member) for member in job["members"]]
    with open(job["out"], "wb", buffering=0) as out:
        return {"size": write_archive(members, partial(_write_all, out.fileno()))}


def _write_all(fd: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _archive(job: dict[str, Any], report: Report) -> dict[str, Any]:
    platform = Platform.parse(job["platform"]) if job["platform"] else None
    return {"images": [i.to_json() for i in read_archive(Path(job["path"]), Path(job["scratch"]), platform)]}


JOBS: dict[str, Callable[[dict[str, Any], Report], dict[str, Any]]] = {
    "apply": _apply,
    "index": _index,
    "dress": _dress,
    "settle": _settle,
    "pack": _pack,
    "print": _print,
    "hash": _hash,
    "usage": _usage,
    "copy": _copy,
    "changes": _changes,
    "measure": _measure,
    "save": _save,
    "archive": _archive,
}


def main() -> None:
    """Serve jobs until the daemon goes away."""
    os.umask(0)
    _limit(resource.RLIMIT_AS, MEMORY)
    _limit(resource.RLIMIT_NOFILE, FILES)
    # What a library prints must not get between the frames.
    out = os.dup(1)
    os.dup2(2, 1)
    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    while True:
        _answer(out, jobs.get())


def _answer(out: int, job: dict[str, Any]) -> None:
    last = 0.0

    def report(amount: int) -> None:
        nonlocal last
        now = time.monotonic()
        if job.get("progress") and now - last >= PROGRESS_SECONDS:
            last = now
            _send(out, {"progress": amount})

    try:
        answer: dict[str, Any] = {"result": JOBS[job["job"]](job, report)}
    except CortenError as error:
        answer = {"error": {"class": type(error).__name__, "message": error.message}}
    except (OSError, MemoryError) as error:
        answer = {"error": {"class": Internal.__name__, "message": f"{job['job']}: {error or type(error).__name__}"}}
    _send(out, answer)


def _send(out: int, body: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    frame = memoryview(LENGTH.pack(len(data)) + data)
    while frame:
        frame = frame[os.write(out, frame) :]


def _listen(jobs: queue.SimpleQueue[dict[str, Any]]) -> None:
    stream = sys.stdin.buffer
    while len(head := stream.read(LENGTH.size)) == LENGTH.size:
        jobs.put(json.loads(stream.read(LENGTH.unpack(head)[0])))
    os._exit(0)


def _limit(what: int, wanted: int) -> None:
    hard = resource.getrlimit(what)[1]
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(what, (soft, hard))
