"""ADD of a local archive: tar, plain or compressed with gzip, bzip2, xz or zstd, unpacked at the destination.

The reader of the store bounds what a hostile archive may claim; every name is resolved beneath the destination.
"""

from __future__ import annotations

import os
import stat

from corten.build.transfer import Transfer, clear_name
from corten.errors import Invalid
from corten.kernel.paths import Root
from corten.store.layers import header
from corten.store.layers.header import BLOCK, Entry
from corten.store.layers.reader import TarReader
from corten.store.layers.stream import Inflow

MAX_UNPACKED = 1 << 40
_KINDS = {b"3": stat.S_IFCHR, b"4": stat.S_IFBLK, b"6": stat.S_IFIFO}


def is_archive(root: Root, path: str) -> bool:
    """Whether a tar comes out of the file."""
    try:
        with Inflow(root.open(path), limit=MAX_UNPACKED) as inflow:
            head = b""
            for chunk in inflow:
                head += chunk
                if len(head) >= BLOCK:
                    break
        if len(head) < BLOCK:
            return False
        if not any(head[:BLOCK]):
            return not any(head)  # an empty archive is blocks of zeros
        header.parse(head[:BLOCK])
    except (Invalid, OSError):
        return False
    return True


def unpack(root: Root, path: str, target_fd: int, transfer: Transfer) -> None:
    """Everything in the archive, beneath the open directory.  Owners are the archive's unless --chown is given."""
    target = Root(target_fd)
    times: list[tuple[str, int]] = []
    with Inflow(root.open(path), limit=MAX_UNPACKED) as inflow:
        reader = TarReader(inflow)
        for entry in reader:
            name = _name(entry.name)
            if name:
                _one(reader, entry, name, target, transfer)
                if entry.kind == b"5":
                    times.append((name, entry.mtime_ns))
    for name, moment in reversed(times):
        target.utime(name, moment, moment)


def _name(name: bytes) -> str:
    parts = [part for part in os.fsdecode(name).split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Invalid(f"invalid tar entry: {os.fsdecode(name)!r} leads out of the archive")
    return "/".join(parts)


def _one(reader: TarReader, entry: Entry, name: str, target: Root, transfer: Transfer) -> None:
    parent = os.path.dirname(name)
    if parent and not target.exists(parent):
        os.close(target.mkdirs(parent, uid=0, gid=0))
    owner = (entry.uid, entry.gid) if transfer.owner in (None, (0, 0)) else transfer.owner
    parent_fd, base = target.open_parent(name)
    try:
        if entry.kind == b"5":
            _directory(parent_fd, base)
        else:
            clear_name(parent_fd, base, name)
            _make(reader, entry, base, parent_fd, target)
        if entry.kind == b"1":
            return
        os.chown(base, *(owner or (0, 0)), dir_fd=parent_fd, follow_symlinks=False)
        if entry.kind == b"2":
            os.utime(base, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent_fd, follow_symlinks=False)
            return
        os.chmod(base, transfer.mode(entry.mode | (stat.S_IFDIR if entry.kind == b"5" else 0)), dir_fd=parent_fd)
        os.utime(base, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent_fd, follow_symlinks=False)
    finally:
        os.close(parent_fd)


def _directory(parent_fd: int, name: str) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=parent_fd)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=parent_fd)
            os.mkdir(name, 0o755, dir_fd=parent_fd)


def _make(reader: TarReader, entry: Entry, name: str, parent_fd: int, target: Root) -> None:
    if entry.kind == b"2":
        os.symlink(os.fsdecode(entry.link), name, dir_fd=parent_fd)
    elif entry.kind == b"1":
        source_fd, source = target.open_parent(_name(entry.link))
        try:
            os.link(source, name, src_dir_fd=source_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        finally:
            os.close(source_fd)
    elif entry.kind in _KINDS:
        os.mknod(name, _KINDS[entry.kind] | 0o600, os.makedev(entry.major, entry.minor), dir_fd=parent_fd)
    else:
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=parent_fd)
        try:
            reader.copy(entry, fd)
            for attribute, value in entry.xattrs.items():
                if attribute == "security.capability" or attribute.startswith("user."):
                    os.setxattr(fd, attribute, value)
        finally:
            os.close(fd)
