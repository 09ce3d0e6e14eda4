"""``docker cp`` and ``docker export``: a container's files as tar streams, and back.

Owns: what a path means to Docker (its last component is not followed, a trailing slash asks for a directory), the
stat header, and the refusals.  Tars are written by ``tarout.py`` and read by ``tarin.py``; every path goes through
``kernel.paths.Root``, so nothing in a container's tree leads out of it.  Work on files happens in threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import posixpath
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from corten.api.times import rfc3339_nano
from corten.engine.containers import rootview, tarin, tarout, userids
from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Live
from corten.engine.containers.pipes import BytePipe, ByteSource
from corten.errors import Denied, Internal, Invalid, NotFound
from corten.kernel.paths import Root
from corten.store.snapshots.base import Mount

# Go's os.FileMode: the kinds are not where stat(2) has them.
_GO_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
}
_GO_BITS = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}


def go_mode(mode: int) -> int:
    """st_mode as Go's os.FileMode prints it."""
    value = stat.S_IMODE(mode) & 0o777 | _GO_KINDS.get(stat.S_IFMT(mode), 0)
    return value | sum(bit for mask, bit in _GO_BITS.items() if mode & mask)


async def stat_path(ground: Ground, live: Live, path: str) -> dict[str, Any]:
    """The document in X-Docker-Container-Path-Stat; raises NotFound."""
    return await asyncio.to_thread(_stat_path, ground, live, path)


def _stat_path(ground: Ground, live: Live, path: str) -> dict[str, Any]:
    with _told(live, path), rootview.at(ground, live, path) as (root, inside):
        found = root.stat(inside, follow=_follows(path))
        target = ""
        if stat.S_ISLNK(found.st_mode):
            with contextlib.suppress(OSError):
                target = posixpath.normpath(
                    posixpath.join(posixpath.dirname("/" + path.lstrip("/")), root.readlink(inside))
                )
        return {
            "name": _base(path),
            "size": found.st_size,
            "mode": go_mode(found.st_mode),
            "mtime": rfc3339_nano(found.st_mtime_ns),
            "linkTarget": target,
        }


def _follows(path: str) -> bool:
    """docker: a link is followed only if the path says that it means what is behind it."""
    return path.endswith(("/", "/.")) or path in ("", ".")


def _base(path: str) -> str:
    """Go's filepath.Base of the absolute path: "." stays when it is the last component."""
    return path.rstrip("/").rpartition("/")[2] or "/"


@contextlib.contextmanager
def _told(live: Live, path: str) -> Iterator[None]:
    """Failures of system calls in dockerd's words."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"Could not find the file {path} in container {live.record.id}") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Invalid(f"too many links in {path}") from None
        raise Internal(f"{path}: {error.strerror}") from error


def _base_id(live: Live) -> int:
    """What owners are shifted by: only a running container's tree is seen through its user namespace."""
    return live.record.id_base if live.record.is_running else 0


def pack(ground: Ground, live: Live, path: str) -> AsyncIterator[bytes]:
    """A tar of a file or a directory, under its own name."""

    def work(pipe: BytePipe) -> None:
        with _told(live, path), rootview.at(ground, live, path) as (root, inside):
            shift = functools.partial(userids.inside, base=_base_id(live))
            tarout.write_tree(pipe, root, inside, _base(path), follow=_follows(path), shift=shift)

    return streamed(work)


def export(ground: Ground, live: Live) -> AsyncIterator[bytes]:
    """A tar of the whole root, without volumes and the kernel's file systems."""
    mounts = _readonly_view(ground, live)

    def work(pipe: BytePipe) -> None:
        with rootview.detached(mounts) as root:
            tarout.write_tree(pipe, root, "/", "")

    return streamed(work)


def _readonly_view(ground: Ground, live: Live) -> list[Mount]:
    """The container's layers stacked once more: what it runs on may not be mounted twice for writing."""
    upper, lowers = ground.snapshots.upper(live.record.id), ground.snapshots.lowers(live.record.id)
    if not lowers:
        return [Mount("bind", str(upper), ("ro",))]
    layers = ":".join(str(layer) for layer in (upper, *lowers))
    return [Mount("overlay", "overlay", ("ro", f"lowerdir={layers}"))]


async def streamed(work: Callable[[BytePipe], None]) -> AsyncIterator[bytes]:
    """What ``work`` writes in a thread, as the loop wants it."""
    pipe = BytePipe(asyncio.get_running_loop())
    running = asyncio.ensure_future(asyncio.to_thread(pipe.run, work))
    try:
        async for data in pipe:
            yield data
        await running
    finally:
        pipe.abandon()
        with contextlib.suppress(Exception):
            await running


async def unpack(
    ground: Ground, live: Live, path: str, body: AsyncIterator[bytes], *, keep_kinds: bool, copy_owner: bool
) -> None:
    """Unpack a tar in a directory of the container; raises NotFound, Invalid, Denied."""
    _check_writable(live, path)
    source = ByteSource(asyncio.get_running_loop())
    feeding = asyncio.ensure_future(source.feed(body))

    def work() -> None:
        with _told(live, path), rootview.at(ground, live, path) as (root, inside):
            if not stat.S_ISDIR(root.stat(inside).st_mode):
                raise Invalid("extraction point is not a directory")
            owner = _owner(root, live) if copy_owner else None
            base = _base_id(live)
            with root.subtree(inside) as directory, userids.acting(base):
                shift = functools.partial(userids.outside, base=base)
                tarin.extract(source, directory, keep_kinds=keep_kinds, owner=owner, shift=shift)

    try:
        await asyncio.to_thread(work)
    except tarin.Broken as error:
        raise Invalid(f"Error processing tar file: {error}") from error
    finally:
        source.abandon()
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


def _check_writable(live: Live, path: str) -> None:
    point = rootview.mount_point(live.record.mounts, path)
    if point is not None:
        if not point.rw:
            raise Denied("mounted volume is marked read-only")
    elif live.record.host_config["ReadonlyRootfs"]:
        raise Denied("container rootfs is marked read-only")


def _owner(root: Root, live: Live) -> tuple[int, int] | None:
    """``copyUIDGID``: the container's user, looked up in its own passwd; without one, owners stay as they are."""
    if not live.record.config["User"]:
        return None
    name, _, group = str(live.record.config["User"]).partition(":")
    uid, gid = _passwd(root, name)
    if group:
        gid = int(group) if group.isdecimal() else _group(root, group)
    return uid, gid


def _passwd(root: Root, name: str) -> tuple[int, int]:
    with contextlib.suppress(OSError):
        for line in root.read_bytes("/etc/passwd", 1 << 20).decode(errors="replace").splitlines():
            words = line.split(":")
            if len(words) >= 4 and name in (words[0], words[2]):
                return int(words[2]), int(words[3])
    if name.isdecimal():
        return int(name), 0
    raise Invalid(f"unable to find user {name}: no matching entries in passwd file")


def _group(root: Root, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in root.read_bytes("/etc/group", 1 << 20).decode(errors="replace").splitlines():
            words = line.split(":")
            if len(words) >= 3 and words[0] == name:
                return int(words[2])
    raise Invalid(f"unable to find group {name}: no matching entries in group file")
