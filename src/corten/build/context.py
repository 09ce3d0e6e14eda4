"""Trees that files are copied from: the build context with its ignore file, a stage or image, a download.

Every access goes through kernel.paths.Root, so no link of a context leads out of it.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from corten.build.dockerfile import go, ignore
from corten.build.dockerfile.ignore import Matcher
from corten.build.filetree import MAX_DEPTH, Filter, Filters, Found, walk
from corten.errors import Invalid, NotFound
from corten.kernel.paths import Root

MAX_IGNORE_FILE = 1 << 20


@dataclass(frozen=True, slots=True)
class Item:
    """A source that was found.  ``path`` is where it really is ("" for the root), ``name`` what its copy is called,
    ``parents`` the directories to keep (COPY --parents)."""

    path: str
    name: str
    status: os.stat_result
    parents: str = ""

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)


@dataclass(slots=True)
class SourceTree:
    """A root to copy from.  ``is_context`` picks the words of the errors and who owns the copies."""

    root: Root
    matcher: Matcher = field(default_factory=lambda: Matcher(()))
    is_context: bool = True

    def find(self, pattern: str, *, parents: bool = False) -> list[Item]:
        """What a source names.  Raises NotFound or Invalid in Docker's words (without "COPY failed: ")."""
        if self.is_context and posixpath.normpath(pattern).split("/")[0] == "..":
            raise Invalid(f"forbidden path outside the build context: {pattern} ()")
        kept, wanted = _split_parents(pattern) if parents else ("", pattern)
        clean = go.clean(posixpath.join("/", kept, wanted)).strip("/")
        if not has_wildcards(clean):
            return [self._item(clean, pattern, kept if parents else None)]
        start = [""]
        for part in clean.split("/"):
            start = [path for directory in start for path in self._matching(directory, part)]
        paths = [path for path in start if not self.is_left_out(path)]
        return [self._item(path, path, kept if parents else None) for path in sorted(paths)]

    def entries(self, item: Item, excludes: Matcher | None = None) -> Iterator[Found]:
        """Beneath a directory everything that is not ignored; a file alone is its own only entry."""
        filters: list[Filter] = [Filter(self.matcher, item.path)]
        if excludes:
            filters.append(Filter(excludes))
        return self._entries(item, filters)

    def _entries(self, item: Item, filters: Filters) -> Iterator[Found]:
        if item.is_directory:
            fd = self.root.open(item.path or "/", os.O_RDONLY | os.O_DIRECTORY)
            try:
                yield from walk(fd, filters)
            finally:
                os.close(fd)
            return
        fd, name = self.root.open_parent(item.path)
        try:
            yield Found(item.name, item.status, fd, name)
        finally:
            os.close(fd)

    def is_left_out(self, path: str) -> bool:
        return bool(self.matcher) and bool(path) and self.matcher.matches(path)

    def _matching(self, directory: str, part: str) -> list[str]:
        prefix = f"{directory}/" if directory else ""
        if not has_wildcards(part):
            return [prefix + part] if self.root.exists(prefix + part) else []
        try:
            names = self.root.list(directory or "/")
        except (NotADirectoryError, FileNotFoundError):
            return []
        if "**" in part:
            return self._anywhere(prefix, part, names)
        return [prefix + name for name in names if go.match(part, name)]

    def _anywhere(self, prefix: str, part: str, names: list[str]) -> list[str]:
        """``**`` stands for any number of directories (COPY --parents)."""
        if part != "**":
            return [prefix + name for name in names if go.match(part.replace("**", "*"), name)]
        if prefix.count("/") > MAX_DEPTH:
            raise Invalid(f"directories are nested more than {MAX_DEPTH} deep: {prefix[:80]}...")
        found = [prefix.rstrip("/")]
        for name in names:
            status = self.root.stat(prefix + name, follow=False)
            if stat.S_ISDIR(status.st_mode):
                found += self._anywhere(f"{prefix}{name}/", part, self.root.list(prefix + name))
        return found

    def _item(self, path: str, shown: str, kept: str | None) -> Item:
        missing = NotFound(self._missing(shown.lstrip("/")))
        try:
            real = self.root.realpath(path or "/").strip("/") if path else ""
            status = self.root.stat(real or "/", follow=False)
        except OSError as failure:
            if failure.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise missing from None
            raise
        if self.is_left_out(path) and not (stat.S_ISDIR(status.st_mode) and self.matcher.may_bring_back_below(path)):
            raise missing
        parents = ""
        if kept is not None:
            whole = path if stat.S_ISDIR(status.st_mode) else posixpath.dirname(path)
            parents = whole.removeprefix(kept.strip("/")).strip("/")
        return Item(real, posixpath.basename(path), status, parents)

    def _missing(self, shown: str) -> str:
        if self.is_context:
            return f"file not found in build context or excluded by .dockerignore: stat {shown}: file does not exist"
        return f"stat {shown}: file does not exist"


def has_wildcards(pattern: str) -> bool:
    position = 0
    while position < len(pattern):
        if pattern[position] in "*?[":
            return True
        position += 2 if pattern[position] == "\\" else 1
    return False


def _split_parents(pattern: str) -> tuple[str, str]:
    """``a/./b``: what comes before the pivot is not kept."""
    before, pivot, after = pattern.partition("/./")
    return (before.removeprefix("./"), after) if pivot else ("", pattern.removeprefix("./"))


class EmptyDirectory:
    """What a build has that has nothing; made when it is asked for, for most builds never do."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._made: Path | None = None

    @property
    def path(self) -> Path:
        if self._made is None:
            self._made = Path(tempfile.mkdtemp(prefix="empty-", dir=self._scratch))
        return self._made

    def remove(self) -> None:
        if self._made is not None:
            self._made.rmdir()


def open_context(
    directory: Path | None, dockerfile_name: str, empty: EmptyDirectory, *, apply_ignore: bool
) -> SourceTree:
    """The build context; ``empty`` is for a build without one."""
    root = Root.at(directory if directory is not None else empty.path)
    patterns = _read_ignore(root, dockerfile_name) if apply_ignore and directory is not None else []
    try:
        return SourceTree(root, Matcher(patterns))
    except Invalid as failure:
        root.close()
        raise Invalid(f"error checking context: {failure.message}") from None


def _read_ignore(root: Root, dockerfile_name: str) -> list[str]:
    """The ignore file named after the Dockerfile wins over ``.dockerignore``."""
    for name in (f"{dockerfile_name}.dockerignore", ".dockerignore"):
        try:
            data = root.read_bytes(name, MAX_IGNORE_FILE)
        except OSError:
            continue
        return ignore.read(data.decode("utf-8", "replace"))
    return []
