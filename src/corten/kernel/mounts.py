"""Mount calls, old and new style, and the table of mounts.

Owns: mount(2), umount2(2), pivot_root(2), open_tree(2), move_mount(2), mount_setattr(2), fsopen(2) and friends.
The new calls give *detached* mounts: a descriptor that nobody sees until it is moved to its place.
Knows nothing of containers or bundles; for the order of mounts read runtime/rootfs.py.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from dataclasses import dataclass

from corten.kernel import flags, libc


def mount(source: str, target: str, fstype: str = "", mount_flags: int = 0, data: str = "") -> None:
    """The old call.  See mount(2)."""
    libc.mount(
        os.fsencode(source) or None,
        os.fsencode(target),
        fstype.encode() or None,
        mount_flags,
        os.fsencode(data) or None,
    )


def umount2(target: str, umount_flags: int = 0) -> None:
    """See umount2(2)."""
    libc.umount2(os.fsencode(target), umount_flags)


def pivot_root(new_root: str, put_old: str) -> None:
    """See pivot_root(2); ("." , ".") needs no directory for the old root."""
    libc.pivot_root(os.fsencode(new_root), os.fsencode(put_old))


def open_tree(path: str, *, recursive: bool = False, dir_fd: int = flags.AT_FDCWD) -> int:
    """A detached copy of the mount at ``path``: what a bind mount is made of.  See open_tree(2)."""
    tree_flags = flags.OPEN_TREE_CLONE | flags.OPEN_TREE_CLOEXEC
    if recursive:
        tree_flags |= flags.AT_RECURSIVE
    if not path:
        tree_flags |= flags.AT_EMPTY_PATH
    return int(libc.open_tree(dir_fd, os.fsencode(path), tree_flags))


def move_mount_at(source_fd: int, dir_fd: int, name: str) -> None:
    """Attach a detached mount at a name beneath a descriptor, or at the descriptor itself ("")."""
    move_flags = flags.MOVE_MOUNT_F_EMPTY_PATH | (0 if name else flags.MOVE_MOUNT_T_EMPTY_PATH)
    libc.move_mount(source_fd, b"", dir_fd, os.fsencode(name), move_flags)


def move_mount(source_fd: int, target: str | int) -> None:
    """Attach a detached mount at a path or at an O_PATH descriptor.  See move_mount(2)."""
    if isinstance(target, int):
        move_mount_at(source_fd, target, "")
    else:
        libc.move_mount(source_fd, b"", flags.AT_FDCWD, os.fsencode(target), flags.MOVE_MOUNT_F_EMPTY_PATH)


def mount_setattr(
    target: str | int,
    *,
    attr_set: int = 0,
    attr_clr: int = 0,
    propagation: int = 0,
    userns_fd: int | None = None,
    recursive: bool = False,
) -> None:
    """Change a mount, by path or by descriptor.  See mount_setattr(2)."""
    if attr_set & flags.MOUNT_ATTR__ATIME or attr_clr & flags.MOUNT_ATTR__ATIME:
        attr_clr |= flags.MOUNT_ATTR__ATIME  # the kernel wants the whole field cleared before one is set
    attr = libc.MountAttr(attr_set, attr_clr, propagation, 0)
    if userns_fd is not None:
        attr.attr_set |= flags.MOUNT_ATTR_IDMAP
        attr.userns_fd = userns_fd
    at_flags = flags.AT_RECURSIVE if recursive else 0
    if isinstance(target, int):
        dir_fd, path, at_flags = target, b"", at_flags | flags.AT_EMPTY_PATH
    else:
        dir_fd, path = flags.AT_FDCWD, os.fsencode(target)
    libc.mount_setattr(dir_fd, path, at_flags, ctypes.byref(attr), ctypes.sizeof(attr))


def fsopen(fstype: str) -> int:
    """A blank file system context.  See fsopen(2)."""
    return int(libc.fsopen(fstype.encode(), flags.FSOPEN_CLOEXEC))


def fsconfig(context_fd: int, key: str, value: str | None = None) -> None:
    """Set one option: a string, or a flag when there is no value.  See fsconfig(2)."""
    if value is None:
        libc.fsconfig(context_fd, flags.FSCONFIG_SET_FLAG, key.encode(), None, 0)
    else:
        libc.fsconfig(context_fd, flags.FSCONFIG_SET_STRING, key.encode(), os.fsencode(value), 0)


def fsmount(context_fd: int, attributes: int = 0) -> int:
    """Create the file system and give it as a detached mount.  See fsmount(2)."""
    libc.fsconfig(context_fd, flags.FSCONFIG_CMD_CREATE, None, None, 0)
    return int(libc.fsmount(context_fd, flags.FSMOUNT_CLOEXEC, attributes))


def detached(
    fstype: str, options: Iterable[tuple[str, str | None]] = (), *, source: str | None = None, attributes: int = 0
) -> int:
    """A new file system as a detached mount: fsopen, fsconfig for each option, fsmount."""
    context_fd = fsopen(fstype)
    try:
        if source:
            fsconfig(context_fd, "source", source)
        for key, value in options:
            fsconfig(context_fd, key, value)
        return fsmount(context_fd, attributes)
    except OSError as failure:
        raise _explained(context_fd, fstype, failure) from None
    finally:
        os.close(context_fd)


def _explained(context_fd: int, fstype: str, failure: OSError) -> OSError:
    """The kernel leaves its own words in the context ("e overlay: …"); add them to the failure."""
    try:
        words = os.read(context_fd, 4096).decode(errors="replace").strip()
    except OSError:
        words = ""
    told = f"{failure.strerror} ({words})" if words else failure.strerror
    return OSError(failure.errno, told, failure.filename or fstype)


@dataclass(frozen=True, slots=True)
class MountInfo:
    """One line of /proc/PID/mountinfo.  See proc_pid_mountinfo(5)."""

    id: int
    parent: int
    device: str
    root: str
    target: str
    options: tuple[str, ...]
    fields: tuple[str, ...]  # shared:N, master:N, …
    fstype: str
    source: str
    super_options: tuple[str, ...]

    @classmethod
    def parse(cls, line: str) -> MountInfo:
        """Fields before the dash vary in number."""
        words = line.split()
        dash = words.index("-", 6)
        return cls(
            id=int(words[0]),
            parent=int(words[1]),
            device=words[2],
            root=_plain(words[3]),
            target=_plain(words[4]),
            options=tuple(words[5].split(",")),
            fields=tuple(words[6:dash]),
            fstype=words[dash + 1],
            source=_plain(words[dash + 2]),
            super_options=tuple(words[dash + 3].split(",")),
        )


def _plain(word: str) -> str:
    """Undo the octal escapes of space, tab, newline and backslash."""
    if "\\" not in word:
        return word
    for escaped, character in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        word = word.replace(escaped, character)
    return word


def mountinfo(pid: int | str = "self") -> list[MountInfo]:
    """The mounts that a process sees, in order."""
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        return [MountInfo.parse(line) for line in lines]
