"""Writing copies of files into a tree: data, mode, owner, times, extended attributes, hard links among the copies.

The destination is a ``Root``; only the directory that a copy starts in is found by path, everything below it is made
name by name without following links.  What may replace what is Docker's: a file replaces a file or a link, never a
directory; a directory joins a directory.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from corten.build.filetree import READ_SIZE, Found, attributes, open_file
from corten.build.modes import Change
from corten.errors import Invalid

Owner = tuple[int, int]
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class _Open:
    """A destination directory on the way down; its times are set when the walk leaves it."""

    fd: int
    times: tuple[int, int] | None = None

    def close(self) -> None:
        if self.times is not None:
            os.utime(self.fd, ns=self.times)
        os.close(self.fd)


@dataclass(slots=True)
class Transfer:
    """One COPY's way of writing.  ``owner`` None keeps each entry's own."""

    owner: Owner | None = None
    change: Change | None = None
    _links: dict[tuple[int, int], tuple[int, str]] = field(default_factory=dict)

    def tree(self, entries: Iterator[Found], target_fd: int, shown: str) -> None:
        """Everything of a walk into an open directory; ``shown`` is its path, for messages.  Closes nothing given."""
        stack = [_Open(os.dup(target_fd))]
        try:
            for entry in entries:
                depth = entry.path.count("/")
                while len(stack) > depth + 1:
                    stack.pop().close()
                path = f"{shown.rstrip('/')}/{entry.path}"
                if entry.is_directory:
                    stack.append(self._directory(entry, stack[-1].fd, path))
                else:
                    self.entry(entry, stack[-1].fd, entry.name, path)
        finally:
            while stack:
                stack.pop().close()

    def entry(self, entry: Found, target_fd: int, name: str, shown: str) -> None:
        """One entry that is no directory, as ``name`` in an open directory."""
        status = entry.status
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFSOCK:
            return  # docker: sockets are not copied
        clear_name(target_fd, name, shown)
        if kind == stat.S_IFREG:
            self._file(entry, target_fd, name)
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink(entry.name, dir_fd=entry.parent_fd), name, dir_fd=target_fd)
            self._own(target_fd, name, status)
        else:
            os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target_fd)
            self._own(target_fd, name, status)
            os.chmod(name, self.mode(status.st_mode), dir_fd=target_fd)
        if kind != stat.S_IFREG:
            times = (status.st_mtime_ns, status.st_mtime_ns)
            os.utime(name, ns=times, dir_fd=target_fd, follow_symlinks=False)

    def data(self, content: bytes, target_fd: int, name: str, shown: str, *, mode: int, mtime_ns: int) -> None:
        """A regular file made of bytes (a heredoc)."""
        clear_name(target_fd, name, shown)
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target_fd)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(fd, view) :]
            os.fchown(fd, *(self.owner or (0, 0)))
            os.fchmod(fd, self.mode(mode))
            os.utime(fd, ns=(mtime_ns, mtime_ns))
        finally:
            os.close(fd)

    def mode(self, mode: int) -> int:
        bits = stat.S_IMODE(mode)
        return bits if self.change is None else self.change(bits, stat.S_ISDIR(mode))

    def settle_directory(self, fd: int, status: os.stat_result) -> None:
        """Give a directory just made the mode and owner of the one it is a copy of."""
        os.fchown(fd, *(self.owner or (status.st_uid, status.st_gid)))
        os.fchmod(fd, self.mode(status.st_mode))

    def _directory(self, entry: Found, target_fd: int, shown: str) -> _Open:
        try:
            os.mkdir(entry.name, 0o700, dir_fd=target_fd)
            is_new = True
        except FileExistsError:
            is_new = False
            if not stat.S_ISDIR(os.stat(entry.name, dir_fd=target_fd, follow_symlinks=False).st_mode):
                raise Invalid(f"cannot copy to non-directory: {shown}") from None
        fd = os.open(entry.name, _DIRECTORY, dir_fd=target_fd)
        if not is_new:
            return _Open(fd)
        self.settle_directory(fd, entry.status)
        return _Open(fd, (entry.status.st_mtime_ns, entry.status.st_mtime_ns))

    def _file(self, entry: Found, target_fd: int, name: str) -> None:
        status = entry.status
        if status.st_nlink > 1:
            known = self._links.get((status.st_dev, status.st_ino))
            if known is not None:
                os.link(known[1], name, src_dir_fd=known[0], dst_dir_fd=target_fd, follow_symlinks=False)
                return
        source_fd = open_file(entry)
        try:
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target_fd)
            try:
                _copy_data(source_fd, fd, status.st_size)
                os.fchown(fd, *(self.owner or (status.st_uid, status.st_gid)))
                os.fchmod(fd, self.mode(status.st_mode))
                for attribute, value in attributes(source_fd):
                    os.setxattr(fd, attribute, value)
                os.utime(fd, ns=(status.st_mtime_ns, status.st_mtime_ns))
            finally:
                os.close(fd)
        finally:
            os.close(source_fd)
        if status.st_nlink > 1:
            self._links[status.st_dev, status.st_ino] = (os.dup(target_fd), name)

    def _own(self, target_fd: int, name: str, status: os.stat_result) -> None:
        owner = self.owner or (status.st_uid, status.st_gid)
        os.chown(name, *owner, dir_fd=target_fd, follow_symlinks=False)

    def close(self) -> None:
        for fd, _ in self._links.values():
            os.close(fd)
        self._links.clear()


def clear_name(target_fd: int, name: str, shown: str) -> None:
    """Make room for a file: what is there goes, unless it is a directory."""
    try:
        status = os.stat(name, dir_fd=target_fd, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):
        raise Invalid(f"cannot replace to directory {shown} with file")
    os.unlink(name, dir_fd=target_fd)


def _copy_data(source_fd: int, target_fd: int, size: int) -> None:
    if size <= READ_SIZE:
        data = os.read(source_fd, size)
        if data:
            os.write(target_fd, data)
        if len(data) == size:
            return
    while os.sendfile(target_fd, source_fd, None, 1 << 30):
        pass
