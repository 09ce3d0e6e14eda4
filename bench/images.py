"""Images for measures: ``docker save`` archives made of this machine's own /usr, kept for the next run.

Owns: the archive's form and what is in it.  The same bytes for every engine.  A file in so many is taken, so that sizes
and contents are those of real images: a mean of some 20 KB, programs, libraries, text.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

CACHE = Path("/tmp/corten-bench-images")
LARGEST = 2 << 20
LAYERS = 3  # the first has the better half, as images on a distribution's base have


def archive(megabytes: int) -> Path:
    """The archive of an image of this size, called ``bench/<megabytes>``."""
    path = CACHE / f"{megabytes}.tar"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        fresh = path.with_suffix(".new")
        _write(fresh, megabytes)
        fresh.rename(path)
    return path


def _write(out: Path, megabytes: int) -> None:
    total = megabytes * 1_000_000
    limits = [total * 6 // 10, total * 2 // 10, total * 2 // 10]
    files = _files()
    diff_ids, names = [], []
    with tarfile.open(out, "w") as archive:
        for number, limit in enumerate(limits):
            layer = out.with_suffix(f".layer{number}")
            digest = _layer(layer, files, limit)
            diff_ids.append(f"sha256:{digest}")
            names.append(f"{digest}/layer.tar")
            archive.add(layer, names[-1], filter=_plain)
            layer.unlink()
        config = {
            "architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z", "config": {"Cmd": ["true"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "bench"} for _ in limits],
        }  # fmt: skip
        data = json.dumps(config).encode()
        name = f"{hashlib.sha256(data).hexdigest()}.json"
        manifest = [{"Config": name, "RepoTags": [f"bench/{megabytes}:latest"], "Layers": names}]
        for member, body in ((name, data), ("manifest.json", json.dumps(manifest).encode())):
            info = tarfile.TarInfo(member)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))


def _layer(path: Path, files: Iterator[str], limit: int) -> str:
    size = 0
    seen: set[str] = set()
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as layer:
        for file in files:
            _directories(layer, os.path.dirname(file), seen)
            layer.add(file, file.lstrip("/"), recursive=False, filter=_plain)
            size += os.lstat(file).st_size
            if size >= limit:
                break
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _directories(layer: tarfile.TarFile, path: str, seen: set[str]) -> None:
    if path in seen or path == "/":
        return
    _directories(layer, os.path.dirname(path), seen)
    seen.add(path)
    layer.add(path, path.lstrip("/"), recursive=False, filter=_plain)


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.mtime = 1_700_000_000
    return info


def _files() -> Iterator[str]:
    """Three files in seven of /usr, in the order of their names."""
    number = 0
    for top, directories, names in os.walk("/usr"):
        directories.sort()
        for name in sorted(names):
            path = f"{top}/{name}"
            status = os.lstat(path)
            if not os.path.islink(path) and not (os.path.isfile(path) and 0 < status.st_size <= LARGEST):
                continue
            number += 1
            if number % 7 in (0, 3, 5):
                yield path
