"""A tar -> the directory of a snapshot.

Owns: what each entry becomes (image-spec layer.md, "Applying Changesets"; in overlay's form a whiteout is a character
device 0/0 and an opaque directory has trusted.overlay.opaque), and the bounds on hostile archives.  Nothing outside the
directory is touched whatever the tar says (target.py).  Half an applied tar is worth nothing: the caller throws the
directory away on any error.  What needs the layers below (settle.py) is reported, not guessed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from corten.errors import Internal, Invalid
from corten.spec.digest import Digest
from corten.store.layers import header
from corten.store.layers.beds import Beds
from corten.store.layers.header import Entry
from corten.store.layers.reader import TarReader
from corten.store.layers.recipe import RecipeWriter
from corten.store.layers.stream import Extent, Inflow
from corten.store.layers.target import DIRECTORY, OPAQUE, Target, inside, is_whiteout, set_xattr

WHITEOUT = ".wh."
WHITEOUT_META = ".wh..wh."
WHITEOUT_OPAQUE = ".wh..wh..opq"

DEFAULT_LIMIT = 256 << 30
_FAR_FUTURE_NS = (1 << 62) - 1
_OURS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EROFS)


class Whiteouts(Enum):
    """What a whiteout becomes."""

    KEEP = "keep"  # a mark that overlayfs understands
    DROP = "drop"  # nothing: this is the lowest layer
    DELETE = "delete"  # the deletion itself: the directory is a whole tree
    PLAIN = "plain"  # a file of that name: the tar is no layer (a build context)


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of a tar."""

    diff_id: Digest
    digest: Digest  # of the bytes as they came, compressed or not
    compression: str
    tar_size: int
    size: int  # bytes of files, as they look
    inodes: int
    implied: tuple[str, ...] = ()  # directories that the tar does not hold
    links: tuple[tuple[str, str], ...] = ()  # hard links (name, target) to what the tar does not hold
    root: bool = False  # does the tar say what the root directory itself is like?
    recipe: bool = False  # was the recipe kept?
    indexed: bool = False  # is it a tar with an index (index.py), and no directory?

    @property
    def needs_lowers(self) -> bool:
        """Does it lack what only the layers below it can tell (settle.py, index.py)?"""
        return bool(self.implied or self.links or (self.indexed and not self.root))

    def to_json(self) -> dict[str, Any]:
        """For the pipe from a worker."""
        return {
            "diff_id": str(self.diff_id),
            "digest": str(self.digest),
            "compression": self.compression,
            "tar_size": self.tar_size,
            "size": self.size,
            "inodes": self.inodes,
            "implied": list(self.implied),
            "links": [list(pair) for pair in self.links],
            "root": self.root,
            "recipe": self.recipe,
            "indexed": self.indexed,
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Applied:
        """From the pipe."""
        return cls(
            diff_id=Digest.parse(body["diff_id"]),
            digest=Digest.parse(body["digest"]),
            compression=body["compression"],
            tar_size=body["tar_size"],
            size=body["size"],
            inodes=body["inodes"],
            implied=tuple(body["implied"]),
            links=tuple((name, target) for name, target in body["links"]),
            root=body["root"],
            recipe=body["recipe"],
            indexed=body["indexed"],
        )


def apply(
    source: Extent | int | str | os.PathLike[str],
    target: Path,
    *,
    whiteouts: Whiteouts = Whiteouts.KEEP,
    expected: Digest | None = None,
    limit: int = DEFAULT_LIMIT,
    recipe: Path | None = None,
    beds: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Applied:
    """Unpack the tar at ``source`` (any compression) into ``target``.  Invalid if it is bad or not ``expected``.

    ``beds`` is a directory to be, outside of the target (beds.py).
    """
    writer = RecipeWriter(recipe) if recipe else None
    try:
        with (
            Inflow(source, limit=limit, progress=progress) as inflow,
            Target(target) as tree,
            Beds(beds, tree.fd) as inodes,
        ):
            reader = TarReader(inflow, writer)
            applier = _Applier(tree, inodes, reader, whiteouts, writer)
            for entry in reader:
                applier.one(entry)
            reader.drain()
            applier.finish()
            if expected is not None and inflow.plain != expected:
                raise Invalid(f"invalid layer: expected diff ID {expected}, got {inflow.plain}")
            if writer is not None and writer.lost and not isinstance(source, int):
                _keep_whole(source, writer, limit)
            return Applied(
                diff_id=inflow.plain,
                digest=inflow.packed,
                compression=inflow.compression,
                tar_size=inflow.plain_size,
                size=applier.size,
                inodes=applier.inodes + len(tree.implied),
                implied=tuple(tree.implied),
                links=tuple(applier.links),
                root=applier.root,
                recipe=writer.commit() if writer else False,
            )
    finally:
        if writer:
            writer.close()


def _keep_whole(source: Extent | str | os.PathLike[str], writer: RecipeWriter, limit: int) -> None:
    """A tar whose bytes are not all in files: its recipe is the tar itself."""
    writer.start_over()
    with Inflow(source, limit=limit) as inflow:
        for chunk in inflow:
            writer.raw(chunk)


class _Applier:
    def __init__(
        self, tree: Target, inodes: Beds, reader: TarReader, whiteouts: Whiteouts, recipe: RecipeWriter | None
    ) -> None:
        self._tree = tree
        self._inodes = inodes
        self._reader = reader
        self._whiteouts = whiteouts
        self._recipe = recipe
        self._owners = os.geteuid() == 0
        # In a set-group-ID directory what is made belongs to the directory's group: then 0:0 must be set too.
        self._inherits = whiteouts is Whiteouts.DELETE or bool(os.fstat(tree.fd).st_mode & stat.S_ISGID)
        self._times: dict[str, int] = {}
        # What this layer made, as (inode of the directory, name), for DELETE alone: paths may lead there by links.
        self._made: set[tuple[int, str]] = set()
        self.links: list[tuple[str, str]] = []
        self.root = False
        self.size = 0
        self.inodes = 0

    def one(self, entry: Entry) -> None:
        """Do what one entry says."""
        path = inside(entry.name, "name")
        try:
            self._one(entry, path)
        except OSError as error:
            text = f"{path[:200]}: {os.strerror(error.errno or 0)}"
            raise (
                Internal(f"cannot unpack {text}") if error.errno in _OURS else Invalid(f"invalid tar entry: {text}")
            ) from None

    def finish(self) -> None:
        """Set the directories' times, now that nothing is added to them."""
        for path, mtime_ns in self._times.items():
            try:
                os.utime(self._tree.directory(path, make=False), ns=(mtime_ns, mtime_ns))
            except OSError:
                continue  # a later entry took its place

    def _one(self, entry: Entry, path: str) -> None:
        if not path:
            if entry.kind != header.DIRECTORY:
                raise Invalid("invalid tar entry: the root must be a directory")
            self._attributes(self._tree.fd, entry)
            self._times[""] = clamp(entry.mtime_ns)
            self.root = True
            return
        above, _, name = path.rpartition("/")
        if name.startswith(WHITEOUT) and self._whiteouts is not Whiteouts.PLAIN:
            self._whiteout(above, name)
            return
        if self._whiteouts is Whiteouts.DELETE:
            self._made.add((os.fstat(self._tree.directory(above)).st_ino, name))
        if entry.kind == header.LINK:
            self._link(above, name, path, inside(entry.link, "hard link"))
            return
        parent = self._tree.directory(above)
        if entry.kind == header.REGULAR:
            self._regular(parent, above, name, entry)
        elif entry.kind == header.DIRECTORY:
            self._directory(parent, name, path, entry)
        elif entry.kind == header.SYMLINK:
            if not entry.link:
                raise Invalid(f"invalid tar entry: {path!r} is a symbolic link to nothing")
            self._replacing(parent, name, lambda: os.symlink(os.fsdecode(entry.link), name, dir_fd=parent))
            self._dress(parent, name, entry)
            self.inodes += 1
        else:
            self._replacing(parent, name, lambda: _node(parent, name, entry))
            self._dress(parent, name, entry)
            os.chmod(name, entry.mode, dir_fd=parent)
            self.inodes += 1

    def _regular(self, parent: int, above: str, name: str, entry: Entry) -> None:
        mode = entry.mode & 0o777
        how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = self._inodes.create(name, how, mode, parent, above)
        except FileExistsError:
            self._clear(parent, name)
            fd = self._inodes.create(name, how, mode, parent, above)
        try:
            size = entry.size if entry.sparse is None else entry.real_size
            if entry.size or entry.sparse is not None:
                self._reader.copy(entry, fd)
                if self._recipe is not None and entry.sparse is None:
                    self._recipe.file(f"{above}/{name}" if above else name, entry.size)
            self._attributes(fd, entry)
            mtime_ns = clamp(entry.mtime_ns)
            os.utime(fd, ns=(mtime_ns, mtime_ns))
        finally:
            os.close(fd)
        self.size += size
        self.inodes += 1

    def _directory(self, parent: int, name: str, path: str, entry: Entry) -> None:
        opaque = False
        try:
            self._inodes.mkdir(name, 0o700, parent)
            self.inodes += 1
        except FileExistsError:
            found = os.lstat(name, dir_fd=parent)
            if not stat.S_ISDIR(found.st_mode):
                # A whiteout of this same layer and then a directory: it hides what is below, and is new.
                opaque = is_whiteout(found) and self._whiteouts is Whiteouts.KEEP
                self._clear(parent, name)
                os.mkdir(name, 0o700, dir_fd=parent)
        fd = os.open(name, DIRECTORY, dir_fd=parent)
        self._tree.keep(path, fd)
        self._attributes(fd, entry)
        if opaque:
            os.setxattr(fd, OPAQUE, b"y")
        self._times[path] = clamp(entry.mtime_ns)

    def _link(self, above: str, name: str, path: str, target: str) -> None:
        source_above, _, last = target.rpartition("/")
        if target == path or not last:
            raise Invalid(f"invalid tar entry: {path!r} is a hard link to itself or to the root")
        try:
            source = os.dup(self._tree.directory(source_above, make=False))
        except FileNotFoundError:
            self.links.append((path, target))
            return
        try:
            parent = self._tree.directory(above)
            if stat.S_ISDIR(os.lstat(last, dir_fd=source).st_mode):
                raise Invalid(f"invalid tar entry: {path!r} is a hard link to a directory")
            self._replacing(
                parent, name, lambda: os.link(last, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
            )
        except FileNotFoundError:
            self.links.append((path, target))
        finally:
            os.close(source)

    def _whiteout(self, above: str, name: str) -> None:
        if self._whiteouts is Whiteouts.DROP:
            return
        hidden = name.removeprefix(WHITEOUT)
        if name == WHITEOUT_OPAQUE:
            self._opaque(above)
        elif name.startswith(WHITEOUT_META):
            return  # AUFS kept its own files under such names
        elif hidden in ("", ".", ".."):
            raise Invalid(f"invalid tar entry: whiteout {name!r} of nothing")
        elif self._whiteouts is Whiteouts.DELETE:
            self._delete(above, hidden)
        else:
            parent = self._tree.directory(above)
            try:
                os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=parent)
                self.inodes += 1
            except FileExistsError:
                # A whiteout hides what lower layers have, never what its own layer has.
                if stat.S_ISDIR(os.lstat(hidden, dir_fd=parent).st_mode):
                    self._opaque(f"{above}/{hidden}" if above else hidden)

    def _opaque(self, path: str) -> None:
        if self._whiteouts is Whiteouts.KEEP:
            os.setxattr(self._tree.directory(path), OPAQUE, b"y")
            return
        for name in os.listdir(self._tree.directory(path)):
            self._delete(path, name)

    def _delete(self, above: str, name: str) -> None:
        """Delete what was there before this layer: what the layer itself holds stays, and directories around that."""
        path = f"{above}/{name}" if above else name
        try:
            parent = self._tree.directory(above, make=False)
            found, made = os.lstat(name, dir_fd=parent), (os.fstat(parent).st_ino, name) in self._made
            if stat.S_ISDIR(found.st_mode):
                self._opaque(path)
            if made:
                return
            parent = self._tree.directory(above, make=False)
            self._tree.forget_unless(parent)
            if stat.S_ISDIR(found.st_mode):
                os.rmdir(name, dir_fd=parent)
            else:
                os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise

    def _replacing(self, parent: int, name: str, make: Callable[[], None]) -> None:
        try:
            make()
        except FileExistsError:
            self._clear(parent, name)
            make()

    def _clear(self, parent: int, name: str) -> None:
        """Take away what is in the way, whatever it is; the recipe cannot name files that are gone."""
        if self._recipe is not None:
            self._recipe.lose()
        self._tree.remove(parent, name)

    def _attributes(self, fd: int, entry: Entry) -> None:
        if self._owners and (entry.uid or entry.gid or self._inherits or entry.kind == header.DIRECTORY):
            os.fchown(fd, entry.uid, entry.gid)
        if entry.kind == header.DIRECTORY and entry.mode & stat.S_ISGID:
            self._inherits = True
        # After the owner, for chown(2) clears setuid and capabilities.
        os.fchmod(fd, entry.mode)
        for name, value in entry.xattrs.items():
            set_xattr(fd, name, value)

    def _dress(self, parent: int, name: str, entry: Entry) -> None:
        """Owner and time of what cannot be opened."""
        if self._owners and (entry.uid or entry.gid or self._inherits):
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        mtime_ns = clamp(entry.mtime_ns)
        os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=parent, follow_symlinks=False)


def _node(parent: int, name: str, entry: Entry) -> None:
    kind = {header.CHARACTER: stat.S_IFCHR, header.DEVICE: stat.S_IFBLK, header.FIFO: stat.S_IFIFO}[entry.kind]
    device = 0 if entry.kind == header.FIFO else os.makedev(entry.major, entry.minor)
    os.mknod(name, kind | entry.mode, device, dir_fd=parent)


def clamp(mtime_ns: int) -> int:
    """A time that every file system can keep."""
    return min(max(mtime_ns, 0), _FAR_FUTURE_NS)
