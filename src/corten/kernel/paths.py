"""The only way into a container's tree: every path is opened with openat2(2) and RESOLVE_IN_ROOT.

``Root`` holds a descriptor of the tree's root.  Whatever the tree's symbolic links say, an absolute target or any
number of ".." stays beneath that descriptor.  Paths are relative to the root; a leading "/" means the root.
An operation on a name (unlink, symlink, rename, …) opens the parent directory first and works on the last component.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat as stat_bits
from collections.abc import Iterator
from types import TracebackType

from corten.kernel import flags, libc

_MAX_LINKS = 40
_O_DIR = os.O_DIRECTORY | flags.O_PATH


def openat2(dir_fd: int, path: str, open_flags: int, mode: int = 0, resolve: int = 0) -> int:
    """See openat2(2); always close-on-exec."""
    # With O_PATH the kernel takes only these two beside it; openat2 refuses what open ignores.
    if open_flags & flags.O_PATH:
        open_flags &= flags.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
    creates = open_flags & os.O_CREAT or open_flags & os.O_TMPFILE == os.O_TMPFILE
    how = libc.OpenHow(open_flags | os.O_CLOEXEC, mode if creates else 0, resolve)
    while True:
        try:
            return int(libc.openat2(dir_fd, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how)))
        except OSError as failure:
            # A rename somewhere in the tree while ".." was walked: the kernel asks us to try again.
            if failure.errno not in (errno.EAGAIN, errno.EINTR):
                raise


def split(path: str) -> tuple[str, str]:
    """Parent and last component of a path inside a root; the name of the root itself is ".".  Never touches disk."""
    parent, _, name = path.rstrip("/").rpartition("/")
    if name in ("", ".", ".."):
        return path or "/", "."
    return parent or "/", name


class Root:
    """A tree that may be hostile.  Owns its descriptor; a context manager."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def at(cls, path: str | os.PathLike[str]) -> Root:
        """The tree beneath a trusted path of the host."""
        return cls(os.open(path, _O_DIR | os.O_CLOEXEC))

    def close(self) -> None:
        """Close the descriptor; harmless when repeated."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Root:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # -- opening -----------------------------------------------------------------------------------------------

    def open(self, path: str, open_flags: int = os.O_RDONLY, mode: int = 0o666) -> int:
        """A descriptor of ``path``; the last component is followed unless O_NOFOLLOW says otherwise."""
        inside = path.lstrip("/") or "."
        try:
            return openat2(self.fd, inside, open_flags, mode, flags.RESOLVE_IN_ROOT | flags.RESOLVE_NO_MAGICLINKS)
        except OSError as failure:
            raise OSError(failure.errno, os.strerror(failure.errno or 0), path) from None

    def open_parent(self, path: str) -> tuple[int, str]:
        """An O_PATH descriptor of the parent directory, and the last component's name."""
        parent, name = split(path)
        return self.open(parent, _O_DIR), name

    def subtree(self, path: str) -> Root:
        """The tree beneath a directory of this one, as a root of its own."""
        return Root(self.open(path, _O_DIR))

    # -- reading -----------------------------------------------------------------------------------------------

    def stat(self, path: str, *, follow: bool = True) -> os.stat_result:
        """Like stat(2) or lstat(2)."""
        fd = self.open(path, flags.O_PATH | (0 if follow else os.O_NOFOLLOW))
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def exists(self, path: str, *, follow: bool = True) -> bool:
        """Whether the path leads to something."""
        try:
            self.stat(path, follow=follow)
        except OSError as failure:
            if failure.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return False
            raise
        return True

    def readlink(self, path: str) -> str:
        """The target of a symbolic link, unresolved."""
        fd = self.open(path, flags.O_PATH | os.O_NOFOLLOW)
        try:
            return os.readlink("", dir_fd=fd)
        finally:
            os.close(fd)

    def realpath(self, path: str) -> str:
        """Where the path leads, as an absolute path inside the root ("/etc/x").  It must exist."""
        fd = self.open(path, flags.O_PATH)
        try:
            target, root = os.readlink(f"/proc/self/fd/{fd}"), os.readlink(f"/proc/self/fd/{self.fd}")
        finally:
            os.close(fd)
        prefix = root.rstrip("/")
        if target != root and not target.startswith(prefix + "/"):
            raise OSError(errno.EXDEV, "the path leads out of its root", path)
        return target[len(prefix) :] or "/"

    def list(self, path: str = "/") -> list[str]:
        """The names in a directory, sorted."""
        fd = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return sorted(os.listdir(fd))
        finally:
            os.close(fd)

    def walk(self, path: str = "/") -> Iterator[tuple[str, os.stat_result]]:
        """Every entry beneath ``path`` with its lstat, parents before children; links are not followed."""
        for name in self.list(path):
            child = f"{path.rstrip('/')}/{name}"
            try:
                status = self.stat(child, follow=False)
            except FileNotFoundError:
                continue  # a running container may delete while we look
            yield child, status
            if stat_bits.S_ISDIR(status.st_mode):
                yield from self.walk(child)

    def read_bytes(self, path: str, limit: int | None = None) -> bytes:
        """A regular file's content; anything else (a fifo would block us for ever) is refused."""
        fd = self.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        with os.fdopen(fd, "rb") as stream:
            if not stat_bits.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", path)
            return stream.read() if limit is None else stream.read(limit)

    # -- changing ----------------------------------------------------------------------------------------------

    def mkdirs(self, path: str, mode: int = 0o755, *, uid: int = -1, gid: int = -1) -> int:
        """Make the directory and its parents; an O_PATH descriptor of it.  New ones get the owner given.

        A dangling link on the way is followed inside the root and what it points at is made.
        """
        return self._mkdirs(path, mode, (uid, gid), _MAX_LINKS)

    def _mkdirs(self, path: str, mode: int, owner: tuple[int, int], links: int) -> int:
        try:
            return self.open(path, _O_DIR)
        except FileNotFoundError:
            pass
        if links == 0:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        parts = [part for part in path.split("/") if part not in ("", ".")]
        done = ""
        for position, part in enumerate(parts):
            here = f"{done}/{part}"
            if part != ".." and not self.exists(here):
                if self.exists(here, follow=False):  # a link to nowhere
                    target = self.readlink(here)
                    moved = target if target.startswith("/") else f"{done}/{target}"
                    return self._mkdirs("/".join((moved, *parts[position + 1 :])), mode, owner, links - 1)
                self._mkdir_one(here, mode, owner)
            done = here
        return self.open(path, _O_DIR)

    def _mkdir_one(self, path: str, mode: int, owner: tuple[int, int]) -> None:
        parent_fd, name = self.open_parent(path)
        try:
            os.mkdir(name, mode, dir_fd=parent_fd)
            if owner != (-1, -1):
                os.chown(name, *owner, dir_fd=parent_fd, follow_symlinks=False)
        except FileExistsError:
            pass  # somebody was faster
        finally:
            os.close(parent_fd)

    def ensure_file(self, path: str, mode: int = 0o644) -> int:
        """Something to mount a file on: an O_PATH descriptor of the path, made empty if it does not exist."""
        try:
            return self.open(path, flags.O_PATH)
        except FileNotFoundError:
            pass
        os.close(self.mkdirs(split(path)[0]))
        # O_CREAT through a dangling link makes what it points at, still beneath the root.
        os.close(self.open(path, os.O_CREAT | os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY, mode))
        return self.open(path, flags.O_PATH)

    def write_bytes(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Write a file in place (made, or cut and filled)."""
        with os.fdopen(self.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOCTTY, mode), "wb") as stream:
            stream.write(data)

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        """One directory; FileExistsError if there is something."""
        parent_fd, name = self.open_parent(path)
        try:
            os.mkdir(name, mode, dir_fd=parent_fd)
        finally:
            os.close(parent_fd)

    def unlink(self, path: str) -> None:
        """Remove a name that is not a directory."""
        parent_fd, name = self.open_parent(path)
        try:
            os.unlink(name, dir_fd=parent_fd)
        finally:
            os.close(parent_fd)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        parent_fd, name = self.open_parent(path)
        try:
            os.rmdir(name, dir_fd=parent_fd)
        finally:
            os.close(parent_fd)

    def rmtree(self, path: str) -> None:
        """Remove a name and everything beneath it; links are removed, not followed."""
        parent_fd, name = self.open_parent(path)
        try:
            _remove_tree(parent_fd, name)
        finally:
            os.close(parent_fd)

    def symlink(self, target: str, path: str) -> None:
        """Make ``path`` a symbolic link with this text."""
        parent_fd, name = self.open_parent(path)
        try:
            os.symlink(target, name, dir_fd=parent_fd)
        finally:
            os.close(parent_fd)

    def link(self, source: str, path: str) -> None:
        """Make ``path`` a further name of ``source``, which is not followed."""
        source_fd, source_name = self.open_parent(source)
        try:
            parent_fd, name = self.open_parent(path)
            try:
                os.link(source_name, name, src_dir_fd=source_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
            finally:
                os.close(parent_fd)
        finally:
            os.close(source_fd)

    def mknod(self, path: str, mode: int, device: int = 0) -> None:
        """A device node, fifo or socket; ``mode`` with the kind."""
        parent_fd, name = self.open_parent(path)
        try:
            os.mknod(name, mode, device, dir_fd=parent_fd)
        finally:
            os.close(parent_fd)

    def rename(self, source: str, target: str) -> None:
        """Move within the root, replacing as rename(2) does."""
        source_fd, source_name = self.open_parent(source)
        try:
            target_fd, target_name = self.open_parent(target)
            try:
                os.rename(source_name, target_name, src_dir_fd=source_fd, dst_dir_fd=target_fd)
            finally:
                os.close(target_fd)
        finally:
            os.close(source_fd)

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Change the owner of the name itself (a link is not followed)."""
        parent_fd, name = self.open_parent(path)
        try:
            os.chown(name, uid, gid, dir_fd=parent_fd, follow_symlinks=False)
        finally:
            os.close(parent_fd)

    def chmod(self, path: str, mode: int) -> None:
        """Change the mode of what the path leads to."""
        fd = self.open(path, flags.O_PATH)
        try:
            os.chmod(f"/proc/self/fd/{fd}", mode)
        finally:
            os.close(fd)

    def utime(self, path: str, atime_ns: int, mtime_ns: int) -> None:
        """Set the times of the name itself (a link is not followed)."""
        parent_fd, name = self.open_parent(path)
        try:
            os.utime(name, ns=(atime_ns, mtime_ns), dir_fd=parent_fd, follow_symlinks=False)
        finally:
            os.close(parent_fd)


def _remove_tree(parent_fd: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=parent_fd)
        return
    except IsADirectoryError:
        pass
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
    try:
        for each in os.listdir(fd):
            _remove_tree(fd, each)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=parent_fd)
