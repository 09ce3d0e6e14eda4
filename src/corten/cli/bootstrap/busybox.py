"""A base image of one static program.

Owns: where busybox is found, the file system around it.  Pure but for reading that program and asking it for its names.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator
from typing import NamedTuple

from corten.cli.buildcontext import archive
from corten.errors import NotFound

CANDIDATES = ("/bin/busybox", "/usr/bin/busybox", "/sbin/busybox")
COMMAND = '["sh"]'

FOLDERS = {
    "bin": 0o755,
    "dev": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "proc": 0o755,
    "root": 0o700,
    "sys": 0o755,
    "tmp": 0o1777,
    "usr": 0o755,
    "usr/bin": 0o755,
    "usr/sbin": 0o755,
    "var": 0o755,
    "var/spool": 0o755,
    "var/spool/mail": 0o755,
    "var/www": 0o755,
}
FILES = {
    "etc/group": "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nmail:x:8:\nwww-data:x:33:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/passwd": (
        "root:x:0:0:root:/root:/bin/sh\n"
        "daemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
        "bin:x:2:2:bin:/bin:/bin/false\n"
        "sys:x:3:3:sys:/dev:/bin/false\n"
        "mail:x:8:8:mail:/var/spool/mail:/bin/false\n"
        "www-data:x:33:33:www-data:/var/www:/bin/false\n"
        "nobody:x:65534:65534:nobody:/home:/bin/false\n"
    ),
    "etc/shadow": "root:*:::::::\n",
}


class Program(NamedTuple):
    """A static busybox and the names that it answers to."""

    content: bytes
    names: tuple[str, ...]


def find() -> Program:
    """The busybox of this machine; raises NotFound with the way to get one."""
    import subprocess

    places = (*CANDIDATES, shutil.which("busybox") or "")
    path = next((place for place in places if place and os.path.exists(place)), "")
    if not path:
        raise _missing("busybox is not installed")
    with open(path, "rb") as file:
        content = file.read()
    # A dynamic program names its loader; in an image of its own it could not start.
    if b"ld-linux" in content[:4096] or b"/ld-musl" in content[:4096]:
        raise _missing(f"{path} is not a static program")
    listed = subprocess.run([path, "--list"], capture_output=True, text=True, check=True).stdout
    names = {name.rpartition("/")[2] for name in listed.split()} - {"busybox", ""}
    return Program(content, tuple(sorted(names)))


def _missing(why: str) -> NotFound:
    return NotFound(why, hint="Install a static one and run the command again: apt-get install busybox-static")


def stream(program: Program) -> Iterator[bytes]:
    """The root file system as a tar; the same program gives the same bytes."""
    return archive.blocks(_members(program))


def _members(program: Program) -> Iterator[bytes]:
    for path, mode in FOLDERS.items():
        yield _head(path, tarfile.DIRTYPE, mode)
    yield from _file("bin/busybox", program.content, 0o755)
    for name in program.names:
        link = tarfile.TarInfo(f"bin/{name}")
        # Hard links, as in the image that people know: a link has no target to lose.
        link.type, link.linkname, link.mode = tarfile.LNKTYPE, "bin/busybox", 0o755
        yield link.tobuf(tarfile.PAX_FORMAT)
    yield _link("usr/bin/env", "../../bin/env")
    for path, text in FILES.items():
        yield from _file(path, text.encode(), 0o600 if path == "etc/shadow" else 0o644)


def _head(path: str, kind: bytes, mode: int, size: int = 0) -> bytes:
    member = tarfile.TarInfo(path)
    member.type, member.mode, member.size = kind, mode, size
    return member.tobuf(tarfile.PAX_FORMAT)


def _link(path: str, target: str) -> bytes:
    member = tarfile.TarInfo(path)
    member.type, member.linkname, member.mode = tarfile.SYMTYPE, target, 0o777
    return member.tobuf(tarfile.PAX_FORMAT)


def _file(path: str, content: bytes, mode: int) -> Iterator[bytes]:
    yield _head(path, tarfile.REGTYPE, mode, len(content))
    yield content
    yield b"\0" * (-len(content) % tarfile.BLOCKSIZE)
