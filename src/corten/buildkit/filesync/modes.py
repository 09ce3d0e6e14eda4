"""File modes as the protocol has them: Go's bits for the kind, Unix permissions.  Pure."""

from __future__ import annotations

import stat

DIRECTORY, SYMLINK, DEVICE, FIFO, SOCKET = 1 << 31, 1 << 27, 1 << 26, 1 << 25, 1 << 24
SETUID, SETGID, CHARACTER, STICKY, IRREGULAR = 1 << 23, 1 << 22, 1 << 21, 1 << 20, 1 << 19
KIND = DIRECTORY | SYMLINK | DEVICE | FIFO | SOCKET | CHARACTER | IRREGULAR

_KINDS = {
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFIFO: FIFO,
    stat.S_IFSOCK: SOCKET,
    stat.S_IFBLK: DEVICE,
    stat.S_IFCHR: DEVICE | CHARACTER,
}
_BITS = ((stat.S_ISUID, SETUID), (stat.S_ISGID, SETGID), (stat.S_ISVTX, STICKY))


def from_unix(mode: int) -> int:
    """Go's bits for st_mode."""
    out = mode & 0o777 | _KINDS.get(stat.S_IFMT(mode), 0)
    for unix, go in _BITS:
        out |= go if mode & unix else 0
    return out


def permissions(mode: int) -> int:
    """The permission bits of a Unix mode, with set-user-ID, set-group-ID and sticky."""
    out = mode & 0o777
    for unix, go in _BITS:
        out |= unix if mode & go else 0
    return out
