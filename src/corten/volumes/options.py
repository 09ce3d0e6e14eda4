"""The options of the driver ``local``: type, o and device, as mount(8) has them, for mount(2).

Owns: their validation in Docker's words, and the split of ``o`` into flags and data.  Pure; ``local.py`` mounts.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from corten.errors import Invalid, Unavailable
from corten.kernel import flags

MS_SYNCHRONOUS, MS_MANDLOCK, MS_DIRSYNC = 16, 64, 128
MS_NOATIME, MS_NODIRATIME = 1024, 2048
MS_RELATIME, MS_STRICTATIME, MS_LAZYTIME = 1 << 21, 1 << 24, 1 << 25
KNOWN = ("type", "o", "device", "size")

# Word to (flag, is set): what mount(8) turns into flags; everything else goes to the file system as data.
_FLAGS: dict[str, tuple[int, bool]] = {
    "ro": (flags.MS_RDONLY, True),
    "rw": (flags.MS_RDONLY, False),
    "nosuid": (flags.MS_NOSUID, True),
    "suid": (flags.MS_NOSUID, False),
    "nodev": (flags.MS_NODEV, True),
    "dev": (flags.MS_NODEV, False),
    "noexec": (flags.MS_NOEXEC, True),
    "exec": (flags.MS_NOEXEC, False),
    "sync": (MS_SYNCHRONOUS, True),
    "async": (MS_SYNCHRONOUS, False),
    "dirsync": (MS_DIRSYNC, True),
    "mand": (MS_MANDLOCK, True),
    "nomand": (MS_MANDLOCK, False),
    "noatime": (MS_NOATIME, True),
    "atime": (MS_NOATIME, False),
    "nodiratime": (MS_NODIRATIME, True),
    "diratime": (MS_NODIRATIME, False),
    "relatime": (MS_RELATIME, True),
    "norelatime": (MS_RELATIME, False),
    "strictatime": (MS_STRICTATIME, True),
    "lazytime": (MS_LAZYTIME, True),
    "bind": (flags.MS_BIND, True),
    "rbind": (flags.MS_BIND | flags.MS_REC, True),
    "defaults": (0, True),
}
# Mount flags that a bind ignores until it is remounted.
PER_MOUNT = flags.MS_RDONLY | flags.MS_NOSUID | flags.MS_NODEV | flags.MS_NOEXEC | MS_NOATIME | MS_NODIRATIME
_RESOLVED = {"nfs": "addr", "nfs4": "addr", "cifs": "addr", "smb3": "addr"}


@dataclass(frozen=True, slots=True)
class MountRequest:
    """What mount(2) is to do."""

    type: str
    device: str
    flags: int
    data: str

    @property
    def is_bind(self) -> bool:
        return bool(self.flags & flags.MS_BIND)

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> MountRequest | None:
        """Read a volume's options; None where there are none.  docker: these words."""
        for name in options:
            if name not in KNOWN:
                raise Invalid(f'invalid option: "{name}"')
        if "size" in options:
            raise Invalid("quota size requested but no quota support")
        if not any(options.values()):
            return None
        for name in ("device", "type"):
            if not options.get(name) and not (name == "type" and "bind" in options.get("o", "")):
                raise Invalid(f'missing required option: "{name}"')
        number, data = _split(options.get("o", ""))
        kind = options.get("type") or "none"
        request = cls(kind, options["device"], number, data)
        if request.is_bind and not request.device.startswith("/"):
            raise Invalid(f"invalid device {request.device!r}: a bind needs an absolute path")
        return request

    def resolved(self, look_up: Callable[[str], str] = socket.gethostbyname) -> MountRequest:
        """Network file systems want the server's address in their data, not its name.  Looks names up: blocks."""
        if self.type not in _RESOLVED or "addr=" not in self.data:
            return self
        words = []
        for word in self.data.split(","):
            key, _, host = word.partition("=")
            if key == _RESOLVED[self.type]:
                try:
                    word = f"{key}={look_up(host)}"
                except OSError:
                    raise Unavailable(f"error resolving passed in network volume address: {host}") from None
            words.append(word)
        return replace(self, data=",".join(words))


def _split(text: str) -> tuple[int, str]:
    number = 0
    data: list[str] = []
    for word in text.split(","):
        known = _FLAGS.get(word)
        if known is None:
            if word:
                data.append(word)
            continue
        bits, is_set = known
        number = number | bits if is_set else number & ~bits
    return number, ",".join(data)
