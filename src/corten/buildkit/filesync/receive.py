"""Receiving a directory: the sender lists what it has, what differs from what is here is asked for, the rest goes.

``Receiver`` is fed packets and answers with packets; it writes below its root and nowhere else: a path's parent must
be a directory of the same listing.  Files are made new when they change, so that an unfinished transfer never looks
like a finished one.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from corten.buildkit.filesync import modes
from corten.buildkit.messages.session import DATA, ERR, FIN, REQ, STAT, Packet, Stat
from corten.errors import Internal, Invalid

MAX_DEPTH = 200
MAX_ENTRIES = 5_000_000
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ME = (os.geteuid(), os.getegid())


class Receiver:
    """One transfer into ``root``, which may hold the outcome of an earlier one."""

    def __init__(self, root: Path) -> None:
        self._root = os.fspath(root)
        self._next = 0
        self._seen: set[str] = set()
        self._directories: dict[str, Stat] = {"": Stat(mode=modes.DIRECTORY | 0o755)}
        self._files: set[str] = set()
        self._links: list[Stat] = []
        self._asked: dict[int, Stat] = {}
        self._fds: dict[int, int] = {}
        self._is_listed = False
        self.is_done = False
        self.bytes = 0

    def feed(self, packets: Iterable[Packet]) -> list[Packet]:
        """What to answer.  Raises Invalid for what a sender must not send."""
        answers: list[Packet] = []
        for packet in packets:
            if packet.type == STAT:
                answers += self._stat(packet.stat)
            elif packet.type == DATA:
                self._data(packet)
            elif packet.type == ERR:
                raise Invalid(f"error from sender: {packet.data.decode('utf-8', 'replace')}")
            elif packet.type == FIN:
                self._finish()
                return answers
            if self._is_listed and not self._asked and packet.type in (STAT, DATA):
                answers.append(Packet(FIN))
        return answers

    def close(self) -> None:
        """Let go of what is open."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()

    # -- the listing ---------------------------------------------------------------------------------------------

    def _stat(self, found: Stat | None) -> list[Packet]:
        if self._is_listed:
            raise Invalid("the sender went on after the end of its list")
        if found is None:
            self._is_listed = True
            self._sweep()
            return []
        number, self._next = self._next, self._next + 1
        self._check(found)
        try:
            wants = self._put(found)
        except OSError as error:
            raise Internal(f"receiving {found.path}: {error.strerror}") from error
        self._seen.add(found.path)
        if not wants:
            return []
        self._asked[number] = found
        return [Packet(REQ, id=number)]

    def _check(self, found: Stat) -> None:
        parts = found.path.split("/")
        if "\0" in found.path or any(part in ("", ".", "..") for part in parts) or len(parts) > MAX_DEPTH:
            raise Invalid(f"invalid path in the context: {found.path[:200]!r}")
        if found.path in self._seen or self._next > MAX_ENTRIES:
            raise Invalid(f"changes out of order: {found.path[:200]!r}")
        if found.path.rpartition("/")[0] not in self._directories:
            raise Invalid(f"{found.path[:200]!r} comes before its directory")

    def _put(self, found: Stat) -> bool:
        """Make the entry; true if its data is wanted."""
        path = os.path.join(self._root, found.path)
        here = _lstat(path)
        kind = found.mode & modes.KIND
        if kind == modes.DIRECTORY:
            self._directory(found, path, here)
        elif kind == modes.SYMLINK:
            if here is None or not stat.S_ISLNK(here.st_mode) or os.readlink(path) != found.linkname:
                _remove(path, here)
                os.symlink(found.linkname, path)
            self._owner(found, path)
        elif kind == 0 and found.linkname:
            self._check_link(found)
            self._links.append(found)
        elif kind == 0:
            return self._file(found, path, here)
        elif kind != modes.SOCKET:
            _remove(path, here)
            os.mknod(path, _special(kind) | 0o600, os.makedev(found.devmajor, found.devminor))
            self._metadata(found, path)
        return False

    def _directory(self, found: Stat, path: str, here: os.stat_result | None) -> None:
        if here is None or not stat.S_ISDIR(here.st_mode):
            _remove(path, here)
            os.mkdir(path, 0o700)
        else:
            os.chmod(path, 0o700)
        self._directories[found.path] = found

    def _check_link(self, found: Stat) -> None:
        if found.linkname not in self._files:
            raise Invalid(f"invalid hard link {found.path[:200]!r} to {found.linkname[:200]!r}")
        self._files.add(found.path)

    def _link(self, found: Stat) -> None:
        path, target = (os.path.join(self._root, name) for name in (found.path, found.linkname))
        here = _lstat(path)
        if here is None or here.st_ino != os.lstat(target).st_ino:
            _remove(path, here)
            os.link(target, path, follow_symlinks=False)

    def _file(self, found: Stat, path: str, here: os.stat_result | None) -> bool:
        self._files.add(found.path)
        if here is not None and _is_same(found, here):
            return False
        _remove(path, here)
        return True

    # -- data ----------------------------------------------------------------------------------------------------

    def _data(self, packet: Packet) -> None:
        found = self._asked.get(packet.id)
        if found is None:
            raise Invalid(f"invalid file request {packet.id}")
        fd = self._fds.get(packet.id)
        try:
            if fd is None:
                fd = self._fds[packet.id] = os.open(os.path.join(self._root, found.path), _NEW, 0o600)
            if packet.data:
                self.bytes += len(packet.data)
                view = memoryview(packet.data)
                while view:
                    view = view[os.write(fd, view) :]
                return
            self._metadata(found, fd)
            os.close(self._fds.pop(packet.id))
        except OSError as error:
            raise Internal(f"receiving {found.path}: {error.strerror}") from error
        del self._asked[packet.id]

    def _owner(self, found: Stat, path: str) -> None:
        os.chown(path, found.uid, found.gid, follow_symlinks=False)
        os.utime(path, ns=(found.mod_time, found.mod_time), follow_symlinks=False)

    def _metadata(self, found: Stat, at: str | int) -> None:
        is_new = isinstance(at, int)
        if not is_new or (found.uid, found.gid) != _ME:
            os.chown(at, found.uid, found.gid)
        os.chmod(at, modes.permissions(found.mode))
        for name, value in found.xattrs.items():
            with suppress(OSError):
                os.setxattr(at, name, value)
        os.utime(at, ns=(found.mod_time, found.mod_time))

    # -- the end -------------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Remove what the sender does not have."""
        for directory, names, files in os.walk(self._root):
            prefix = os.path.relpath(directory, self._root)
            inside = "" if prefix == "." else f"{prefix}/"
            for name in (*names, *files):
                if inside + name not in self._seen:
                    path = os.path.join(directory, name)
                    _remove(path, _lstat(path))
            names[:] = [name for name in names if inside + name in self._directories]

    def _finish(self) -> None:
        if not self._is_listed or self._asked:
            raise Invalid("the sender ended before everything had come")
        for link in self._links:
            self._link(link)
        for path, found in sorted(self._directories.items(), reverse=True):
            if path:
                self._metadata(found, os.path.join(self._root, path))
        self.is_done = True


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _remove(path: str, here: os.stat_result | None) -> None:
    if here is None:
        return
    if stat.S_ISDIR(here.st_mode):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _is_same(found: Stat, here: os.stat_result) -> bool:
    return (
        stat.S_ISREG(here.st_mode)
        and here.st_size == found.size
        and here.st_mtime_ns == found.mod_time
        and stat.S_IMODE(here.st_mode) == modes.permissions(found.mode)
        and (here.st_uid, here.st_gid) == (found.uid, found.gid)
    )


def _special(kind: int) -> int:
    if kind & modes.FIFO:
        return stat.S_IFIFO
    return stat.S_IFCHR if kind & modes.CHARACTER else stat.S_IFBLK
