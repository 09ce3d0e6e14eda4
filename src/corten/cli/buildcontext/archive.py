"""A directory as a stream of tar: sorted, owned by root, without host names or sub-second times.

Owns: walking under a matcher and the bytes of the archive.  The same tree gives the same bytes.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator, Mapping

from corten.cli.buildcontext.ignore import Matcher
from corten.errors import Denied, NotFound

BLOCK = 256 * 1024
RECORD = tarfile.RECORDSIZE


def stream(root: str, matcher: Matcher, extra: Mapping[str, bytes] | None = None) -> Iterator[bytes]:
    """The archive in blocks; ``extra`` are files that are added at its end."""
    return blocks(_members(root, matcher, extra or {}))


def blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Small pieces joined, and the end of the archive."""
    held: list[bytes] = []
    size = total = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        total += len(piece)
        if size >= BLOCK:
            yield b"".join(held)
            held, size = [], 0
    total += 1024
    yield b"".join([*held, b"\0" * 1024, b"\0" * (-total % RECORD)])


def _members(root: str, matcher: Matcher, extra: Mapping[str, bytes]) -> Iterator[bytes]:
    for path, info in walk(root, matcher):
        yield from _member(os.path.join(root, path), path, info)
    yield from _members_of(extra)


def walk(root: str, matcher: Matcher) -> Iterator[tuple[str, os.stat_result]]:
    """Relative paths of what is not ignored, folders before what is in them, in the order of names."""
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            entries = sorted(os.scandir(os.path.join(root, folder)), key=lambda entry: entry.name)
        except PermissionError as error:
            raise Denied(f"error checking context: no permission to read from '{folder or root}'") from error
        inner: list[str] = []
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            skipped = matcher.ignores(path)
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder and (not skipped or matcher.may_hold_kept(path)):
                inner.append(path)
            if not skipped:
                info = entry.stat(follow_symlinks=False)
                if not stat.S_ISSOCK(info.st_mode):
                    yield path, info
        pending += reversed(inner)


def _member(source: str, path: str, info: os.stat_result) -> Iterator[bytes]:
    yield from contents(source, tarfile.TarInfo(path), info)


def contents(source: str, member: tarfile.TarInfo, info: os.stat_result) -> Iterator[bytes]:
    """Head and bytes of one file, folder, link or device; ``member`` has the name and whatever else is settled."""
    path = member.name
    member.mode = stat.S_IMODE(info.st_mode) if os.name == "posix" else 0o755
    member.mtime = int(info.st_mtime)
    if stat.S_ISDIR(info.st_mode):
        member.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(info.st_mode):
        member.type, member.linkname, member.mode = tarfile.SYMTYPE, os.readlink(source), 0o777
    elif stat.S_ISREG(info.st_mode):
        member.size = info.st_size
        yield _head(member)
        yield from _content(source, path, info.st_size)
        return
    elif stat.S_ISFIFO(info.st_mode):
        member.type = tarfile.FIFOTYPE
    else:
        member.type = tarfile.CHRTYPE if stat.S_ISCHR(info.st_mode) else tarfile.BLKTYPE
        member.devmajor, member.devminor = os.major(info.st_rdev), os.minor(info.st_rdev)
    yield _head(member)


def _content(source: str, path: str, size: int) -> Iterator[bytes]:
    """Exactly ``size`` bytes and the padding, whatever happens to the file meanwhile."""
    left = size
    try:
        with open(source, "rb", buffering=0) as file:
            while left and (data := file.read(min(left, BLOCK))):
                left -= len(data)
                yield data
    except PermissionError as error:
        raise Denied(f"error checking context: no permission to read from '{path}'") from error
    except FileNotFoundError as error:
        raise NotFound(f"error checking context: '{path}' vanished") from error
    while left:  # it shrank
        data = b"\0" * min(left, BLOCK)
        left -= len(data)
        yield data
    yield b"\0" * (-size % tarfile.BLOCKSIZE)


def _head(member: tarfile.TarInfo) -> bytes:
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % tarfile.BLOCKSIZE)


def of_files(files: Mapping[str, bytes]) -> bytes:
    """An archive of nothing but these files."""
    return b"".join(blocks(_members_of(files)))


def _members_of(files: Mapping[str, bytes]) -> Iterator[bytes]:
    for name, content in files.items():
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), 0o600
        yield _head(member)
        yield _padded(content)
