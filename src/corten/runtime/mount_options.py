"""The option words of an OCI mount, sorted into what each system call takes.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from corten.kernel import flags

_ATTRIBUTES = {  # word: (set, clear)
    "ro": (flags.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, flags.MOUNT_ATTR_RDONLY),
    "nosuid": (flags.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, flags.MOUNT_ATTR_NOSUID),
    "nodev": (flags.MOUNT_ATTR_NODEV, 0),
    "dev": (0, flags.MOUNT_ATTR_NODEV),
    "noexec": (flags.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, flags.MOUNT_ATTR_NOEXEC),
    "noatime": (flags.MOUNT_ATTR_NOATIME, flags.MOUNT_ATTR__ATIME),
    "atime": (0, flags.MOUNT_ATTR__ATIME),
    "relatime": (flags.MOUNT_ATTR_RELATIME, flags.MOUNT_ATTR__ATIME),
    "norelatime": (0, flags.MOUNT_ATTR__ATIME),
    "strictatime": (flags.MOUNT_ATTR_STRICTATIME, flags.MOUNT_ATTR__ATIME),
    "nostrictatime": (0, flags.MOUNT_ATTR__ATIME),
    "nodiratime": (flags.MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, flags.MOUNT_ATTR_NODIRATIME),
    "nosymfollow": (flags.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, flags.MOUNT_ATTR_NOSYMFOLLOW),
}
_PROPAGATION = {
    "private": flags.MS_PRIVATE,
    "shared": flags.MS_SHARED,
    "slave": flags.MS_SLAVE,
    "unbindable": flags.MS_UNBINDABLE,
}
_IGNORED = {"defaults", "async", "remount", "z", "Z", "nocopy", "copy", "consistent", "cached", "delegated"}


@dataclass(frozen=True, slots=True)
class MountOptions:
    """``attr_*`` for this mount, ``tree_*`` for it and all beneath, ``data`` for the file system itself."""

    attr_set: int = 0
    attr_clr: int = 0
    tree_set: int = 0
    tree_clr: int = 0
    propagation: int = 0
    propagation_recursive: bool = False
    bind: bool = False
    recursive: bool = False
    data: tuple[tuple[str, str | None], ...] = ()

    @classmethod
    def parse(cls, words: Iterable[str]) -> MountOptions:
        """Later words win, as for mount(8)."""
        attr_set = attr_clr = tree_set = tree_clr = propagation = 0
        bind = recursive = propagation_recursive = False
        data: list[tuple[str, str | None]] = []
        for word in words:
            if word in _ATTRIBUTES:
                adds, removes = _ATTRIBUTES[word]
                attr_set, attr_clr = attr_set & ~removes | adds, attr_clr & ~adds | removes
            elif word in ("bind", "rbind"):
                bind, recursive = True, word == "rbind"
            elif word.removeprefix("r") in _PROPAGATION:
                propagation = _PROPAGATION[word.removeprefix("r")]
                propagation_recursive = word.startswith("r")
            elif word.startswith("r") and word[1:] in _ATTRIBUTES:
                adds, removes = _ATTRIBUTES[word[1:]]
                tree_set, tree_clr = tree_set & ~removes | adds, tree_clr & ~adds | removes
            elif word not in _IGNORED:
                key, equals, value = word.partition("=")
                data.append((key, value if equals else None))
        return cls(
            attr_set,
            attr_clr,
            tree_set,
            tree_clr,
            propagation,
            propagation_recursive,
            bind,
            recursive,
            tuple(data),
        )
