"""Where copies land: the destination directory or file name inside the new root, made where missing.

Links in the destination are followed inside the root, as Docker does; with ``follow`` False (COPY --link) they are
replaced by directories, for such a layer does not know what it will lie on.
"""

from __future__ import annotations

import os
import posixpath
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from corten.errors import Invalid
from corten.kernel.paths import Root

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


@dataclass(frozen=True, slots=True)
class Landing:
    """One COPY's destination side."""

    root: Root
    owner: tuple[int, int]
    follow: bool = True
    now_ns: int = field(default_factory=time.time_ns)

    @contextmanager
    def for_directory(self, path: str) -> Iterator[tuple[int, bool]]:
        """The directory open, and whether it was made just now."""
        is_new = not self.root.exists(path)
        fd = self._directory(path)
        try:
            yield fd, is_new
        finally:
            os.close(fd)

    @contextmanager
    def for_file(self, destination: str, name: str) -> Iterator[tuple[int, str, str]]:
        """The directory open, the name for the file in it, and the whole path for messages."""
        if destination.endswith("/") or self._is_directory(destination):
            directory = destination
        else:
            real = self.root.realpath(destination) if self.follow and self.root.exists(destination) else destination
            directory, name = posixpath.split(real)
        fd = self._directory(directory or "/")
        try:
            yield fd, name, posixpath.join(directory, name)
        finally:
            os.close(fd)

    def _is_directory(self, path: str) -> bool:
        try:
            return stat.S_ISDIR(self.root.stat(path, follow=self.follow).st_mode)
        except OSError:
            return False

    def _directory(self, path: str) -> int:
        if not self.follow:
            self._clear_the_way(path)
        try:
            os.close(self.root.mkdirs(path, uid=self.owner[0], gid=self.owner[1]))
            return self.root.open(path, _DIRECTORY)
        except (NotADirectoryError, FileExistsError):
            raise Invalid(f"cannot copy to non-directory: {path}") from None

    def _clear_the_way(self, path: str) -> None:
        done = ""
        for part in path.strip("/").split("/"):
            done = f"{done}/{part}"
            if self.root.exists(done, follow=False) and not stat.S_ISDIR(self.root.stat(done, follow=False).st_mode):
                self.root.unlink(done)
