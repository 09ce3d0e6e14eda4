"""A directory that nothing gets out of, and descriptors of the directories in it.

Every path is resolved with openat2(2) and RESOLVE_IN_ROOT, so symbolic links of the tree, whenever they were made, lead
nowhere but into it; the last component is never followed.  Owns: the root's descriptor and a small cache of others.
Knows nothing of tars: read apply.py.
"""

from __future__ import annotations

import errno
import os
import stat
from types import TracebackType

from corten.errors import Invalid
from corten.kernel import flags
from corten.kernel.paths import Root, openat2

RESOLVE = flags.RESOLVE_IN_ROOT | flags.RESOLVE_NO_MAGICLINKS
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
CACHED = 1024

OPAQUE = "trusted.overlay.opaque"
OVERLAY_XATTRS = ("trusted.overlay.", "user.overlay.")
_NO_XATTR = (errno.EOPNOTSUPP, errno.EPERM)


class Target:
    """The tree at a trusted path of the host, open for changes."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: dict[str, int] = {}
        # Directories that no entry asked for but that had to be there.
        self.implied: list[str] = []

    def directory(self, path: str, *, make: bool = True) -> int:
        """A descriptor of the directory ``path`` ("" is the root), made if it is missing.  It stays the target's."""
        if not path:
            return self.fd
        fd = self._open.get(path)
        if fd is not None:
            return fd
        try:
            fd = openat2(self.fd, path, os.O_RDONLY | os.O_DIRECTORY, 0, RESOLVE)
        except FileNotFoundError:
            if not make:
                raise
            fd = self._make(path)
        self.keep(path, fd)
        return fd

    def keep(self, path: str, fd: int) -> None:
        """Remember a descriptor of the directory ``path``; it is the target's from now on."""
        if len(self._open) >= CACHED:
            self.forget()
        old = self._open.get(path)
        if old is not None:
            os.close(old)
        self._open[path] = fd

    def forget(self) -> None:
        """Drop what is remembered: something that is no directory may be in the way now."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def remove(self, parent: int, name: str) -> None:
        """Remove a name and all beneath it."""
        self.forget_unless(parent)
        Root(parent).rmtree(name)

    def forget_unless(self, parent: int) -> None:
        """Drop all descriptors but ``parent``, which the caller works on."""
        kept = {path: fd for path, fd in self._open.items() if fd == parent}
        for path, fd in self._open.items():
            if path not in kept:
                os.close(fd)
        self._open = kept

    def close(self) -> None:
        """Close every descriptor."""
        self.forget()
        os.close(self.fd)

    def __enter__(self) -> Target:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _make(self, path: str) -> int:
        above, _, name = path.rpartition("/")
        parent = self.directory(above)
        os.mkdir(name, 0o755, dir_fd=parent)
        self.implied.append(path)
        return os.open(name, DIRECTORY, dir_fd=parent)


def inside(raw: bytes, what: str) -> str:
    """A name of a tar as a path beneath the root: no leading slash, no dots.  Invalid if it leads above."""
    if not raw:
        raise Invalid(f"invalid tar entry: empty {what}")
    text = os.fsdecode(raw)
    if "//" not in text and "/." not in text and text[0] not in "./":  # as nearly all are
        return text.rstrip("/")
    parts: list[str] = []
    for part in text.split("/"):
        if part == "..":
            if not parts:
                raise Invalid(f"invalid tar entry: {what} {os.fsdecode(raw[:80])!r} is outside of the root")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def is_whiteout(found: os.stat_result) -> bool:
    """Is this what overlayfs takes for a deletion?"""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def is_opaque(path_or_fd: str | int) -> bool:
    """Does this directory hide what is below it?"""
    try:
        return os.getxattr(path_or_fd, OPAQUE) == b"y"
    except OSError:
        return False


def set_xattr(fd: int, name: str, value: bytes) -> None:
    """Set an attribute from a tar, unless it is overlayfs's own or the file system or host does not have such ones."""
    if name.startswith(OVERLAY_XATTRS):
        return
    try:
        os.setxattr(fd, name, value)
    except OSError as error:
        # security.selinux where there is no SELinux, user.* on a symlink's or device's file system, and the like.
        if error.errno not in _NO_XATTR:
            raise
