"""Where the files and directories of a tree are made when it is slow to make them in place (kernel/ext4.py tells why).

An inode lies near the directory that it was made in, wherever it is moved later.  So what is slow to be made in place
is made in a *bed*, an empty directory far away on ground that was tried, and moved to its name at once; the files of a
directory from a bed are quick again.  Owns: the measuring and the beds, which are gone when it is closed.
Knows nothing of tars: read apply.py.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from corten.kernel.ext4 import SLOW_NS, is_good_ground, spread

PATIENCE = 4
TRIES = 8


class Beds:
    """mkdir() and create() are as the system calls, in the tree open at ``tree``.

    ``root`` is a directory to be, for the beds; without one everything is made in place.
    """

    def __init__(
        self,
        root: Path | None,
        tree: int,
        *,
        clock: Callable[[], int] = time.perf_counter_ns,
        is_good: Callable[[Path], bool] = is_good_ground,
    ) -> None:
        self._root = root
        self._tree = tree
        self._clock = clock
        self._is_good = is_good
        self._bed = -1
        self._count = 0
        self._made = False
        self._slow_files = self._slow_directories = 0
        # Directories whose files are slow to be made.
        self._poor: set[str] = set()

    def mkdir(self, name: str, mode: int, parent: int) -> None:
        """Make the directory ``name`` in the one open at ``parent``; FileExistsError if there is something."""
        if self._bed >= 0:
            _refuse_what_exists(name, parent)
        begin = self._clock()
        if self._bed < 0:
            os.mkdir(name, mode, dir_fd=parent)
            took = self._clock() - begin
        else:
            born = self._name()
            os.mkdir(born, mode, dir_fd=self._bed)
            took = self._clock() - begin
            os.rename(born, name, src_dir_fd=self._bed, dst_dir_fd=parent)
        self._slow_directories = self._slow_directories + 1 if took > SLOW_NS else 0
        if self._slow_directories >= PATIENCE:
            self._move_on()

    def create(self, name: str, how: int, mode: int, parent: int, above: str) -> int:
        """A descriptor of the new file ``name`` in the directory ``above``, open at ``parent``; as mkdir()."""
        in_place = above not in self._poor
        if not in_place:
            _refuse_what_exists(name, parent)
        begin = self._clock()
        if in_place:
            fd = os.open(name, how, mode, dir_fd=parent)
            took = self._clock() - begin
        else:
            born = self._name()
            fd = os.open(born, how, mode, dir_fd=self._bed)
            took = self._clock() - begin
            os.rename(born, name, src_dir_fd=self._bed, dst_dir_fd=parent)
        self._slow_files = self._slow_files + 1 if took > SLOW_NS else 0
        if self._slow_files >= PATIENCE:
            if self._bed < 0 or not in_place:
                self._move_on()
            if self._bed >= 0:
                self._poor.add(above)
                self._slow_files = 0
        return fd

    def close(self) -> None:
        """Remove the beds."""
        self._leave()
        if self._root is not None and self._made:
            shutil.rmtree(self._root, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _name(self) -> str:
        self._count += 1
        return str(self._count)

    def _move_on(self) -> None:
        """Find a bed on good ground; where there is none all ground is alike, and it is not looked for again."""
        self._slow_files = self._slow_directories = 0
        root = self._root
        if root is None:
            return
        root.mkdir(mode=0o700, exist_ok=True)
        self._made = True
        spread(root)
        if root.stat().st_dev == os.fstat(self._tree).st_dev:
            for _ in range(TRIES):
                bed = root / secrets.token_hex(4)  # by its name ext4 chooses where
                bed.mkdir()
                if self._is_good(bed):
                    self._leave()
                    self._bed = os.open(bed, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                    return
        shutil.rmtree(root, ignore_errors=True)
        self._leave()
        self._root = None

    def _leave(self) -> None:
        if self._bed >= 0:
            os.close(self._bed)
            self._bed = -1
            self._poor.clear()


def _refuse_what_exists(name: str, parent: int) -> None:
    """For rename(2) would replace it."""
    try:
        os.lstat(name, dir_fd=parent)
    except FileNotFoundError:
        return
    raise FileExistsError(name)
