"""A tar stream out of a container into a local folder.

Owns: that nothing lands outside of the folder.  The archive comes from a container, which may be hostile: every
parent of a member must be a real folder below the target, a hard link must point to a member, devices are refused.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterable, Iterator
from typing import IO, cast

from corten.cli.transfer import plan
from corten.errors import Invalid

BLOCK = 256 * 1024


class Reader:
    """Pieces as the file that tarfile wants; counts them."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces: Iterator[bytes] = iter(pieces)
        self._held = b""
        self.count = 0

    def read(self, size: int) -> bytes:
        """Exactly so many bytes, unless the stream ends."""
        found = [self._held]
        have = len(self._held)
        while have < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            found.append(piece)
            have += len(piece)
        data = b"".join(found)
        self._held = data[size:]
        self.count += min(size, len(data))
        return data[:size]


def extract(pieces: Iterable[bytes], target: plan.Target, source_base: str) -> int:
    """Unpack; the number of bytes of the archive.  Raises Invalid at what would land elsewhere."""
    reader = Reader(pieces)
    root = os.path.realpath(target.folder)
    with tarfile.open(fileobj=cast("IO[bytes]", reader), mode="r|", bufsize=BLOCK) as archive:
        folders: list[tuple[str, tarfile.TarInfo]] = []
        for member in archive:
            inside = plan.rebase(member.name, source_base, target.name)
            path = _below(root, inside)
            if member.islnk():
                linked = _below(root, plan.rebase(member.linkname, source_base, target.name))
                _replace(path)
                os.link(linked, path, follow_symlinks=False)
            elif member.isdir():
                if os.path.islink(path) or not os.path.isdir(path):
                    _replace(path)
                    os.mkdir(path)
                folders.append((path, member))
            elif member.issym():
                _replace(path)
                os.symlink(member.linkname, path)
            elif member.isreg():
                _file(archive, member, path)
            else:
                raise Invalid(f"cannot copy {member.name}: devices and pipes are not unpacked here")
        # A folder without the right to write would keep its own members out.
        for path, member in reversed(folders):
            os.chmod(path, member.mode & 0o7777)
            os.utime(path, (member.mtime, member.mtime))
    for _ in iter(lambda: reader.read(BLOCK), b""):
        pass
    return reader.count


def _below(root: str, inside: str) -> str:
    parts = [part for part in inside.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Invalid(f"cannot copy {inside}: it would leave the target")
    path = os.path.join(root, *parts)
    parent = os.path.dirname(path) if parts else root
    if os.path.realpath(parent) != parent:
        raise Invalid(f"cannot copy {inside}: a link stands in its way")
    return path


def _replace(path: str) -> None:
    if os.path.islink(path) or os.path.isfile(path):
        os.unlink(path)
    elif os.path.isdir(path):
        raise Invalid(f"cannot overwrite directory {path} with non-directory")


def _file(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
    _replace(path)
    content = archive.extractfile(member)
    assert content is not None
    with open(path, "wb") as file:
        while block := content.read(BLOCK):
            file.write(block)
    os.chmod(path, member.mode & 0o7777)
    os.utime(path, (member.mtime, member.mtime))
