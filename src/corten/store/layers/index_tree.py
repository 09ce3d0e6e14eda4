"""The entries of a layer's tar as a tree in memory, in overlay's form, and that tree as an EROFS index.

Owns: what each entry becomes, as apply.py has it for directories on disk, and the order of inodes in the index
(kernel/erofs.py).  What is rare or wrong is Unindexable: then the layer is unpacked, and apply.py says what is wrong.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from corten.errors import CortenError
from corten.kernel import erofs
from corten.kernel.erofs import Attributes
from corten.store.layers import header
from corten.store.layers.apply import WHITEOUT, WHITEOUT_META, WHITEOUT_OPAQUE, clamp
from corten.store.layers.header import BLOCK, Entry
from corten.store.layers.target import OPAQUE, OVERLAY_XATTRS, inside

MAX_NODES = 1_000_000
MAX_XATTR_BYTES = 64 << 20
_CAPABILITY, _CAPABILITY_SIZES = "security.capability", (20, 24)
_KINDS = {
    header.REGULAR: stat.S_IFREG,
    header.DIRECTORY: stat.S_IFDIR,
    header.SYMLINK: stat.S_IFLNK,
    header.CHARACTER: stat.S_IFCHR,
    header.DEVICE: stat.S_IFBLK,
    header.FIFO: stat.S_IFIFO,
}
_IMPLIED = Attributes(stat.S_IFDIR | 0o755, 0, 0, 0)


class Unindexable(CortenError):
    """This layer has something that an index does not show as unpacking would."""


class Node:
    """One inode."""

    __slots__ = ("attributes", "children", "implied", "links", "number", "offset", "size", "target", "where", "xattrs")

    def __init__(self, attributes: Attributes) -> None:
        self.attributes = attributes
        self.children: dict[bytes, Node] | None = {} if stat.S_ISDIR(attributes.mode) else None
        self.xattrs: dict[str, bytes] = {}
        self.links = 0  # names that lead here; for directories what nlink says
        self.size = 0
        self.where = 0  # a file's first block in the tar, a device's number, later a directory's block
        self.target = b""  # of a symbolic link
        self.implied = False
        self.offset = 0
        self.number = 0


class IndexTree:
    """Add the entries in their order, then write()."""

    def __init__(self, *, lowest: bool) -> None:
        self._lowest = lowest
        self.top = Node(_IMPLIED)
        self.root = False  # was the root itself described?
        self.size = 0
        self.inodes = 0
        self._nodes = 0
        self._xattr_bytes = 0

    def add(self, entry: Entry, offset: int) -> None:
        """One entry, whose data begins at ``offset`` of the tar."""
        path = os.fsencode(inside(entry.name, "name"))
        if not path:
            if entry.kind != header.DIRECTORY:
                raise Unindexable("the root is no directory")
            self._dress(self.top, entry)
            self.root = True
            return
        above, _, name = path.rpartition(b"/")
        if name.startswith(WHITEOUT.encode()):
            self._whiteout(above, os.fsdecode(name))
            return
        parent = self._directory(above)
        if entry.kind == header.LINK:
            self._link(parent, name, os.fsencode(inside(entry.link, "hard link")))
        elif entry.kind == header.DIRECTORY:
            self._make_directory(parent, name, entry)
        else:
            self._put(parent, name, self._leaf(entry, offset))
            self.inodes += 1

    def implied(self) -> list[str]:
        """The directories that no entry asked for."""
        found: list[str] = []
        pending = [("", self.top)]
        while pending:
            path, node = pending.pop()
            for name, child in (node.children or {}).items():
                if child.children is not None:
                    below = f"{path}/{os.fsdecode(name)}" if path else os.fsdecode(name)
                    pending.append((below, child))
                    if child.implied:
                        found.append(below)
        return found

    def _leaf(self, entry: Entry, offset: int) -> Node:
        mode = _KINDS[entry.kind] | (0o777 if entry.kind == header.SYMLINK else entry.mode)
        node = Node(Attributes(mode, entry.uid, entry.gid, clamp(entry.mtime_ns)))
        if entry.kind == header.REGULAR:
            if entry.sparse is not None or offset % BLOCK or offset // BLOCK + entry.size // BLOCK >= erofs.MAX_BLOCKS:
                raise Unindexable("a file that is not one run of blocks")
            node.size, node.where = entry.size, offset // BLOCK
            self._keep_xattrs(node, entry)
            self.size += entry.size
        elif entry.kind == header.SYMLINK:
            if not entry.link:
                raise Unindexable("a symbolic link to nothing")
            node.target, node.size = entry.link, len(entry.link)
        elif entry.kind != header.FIFO:
            if not (0 <= entry.major < 1 << 12 and 0 <= entry.minor < 1 << 20):
                raise Unindexable("a device number out of range")
            node.where = erofs.device(entry.major, entry.minor)
        return node

    def _make_directory(self, parent: Node, name: bytes, entry: Entry) -> None:
        found = (parent.children or {}).get(name)
        if found is not None and found.children is not None:
            self._dress(found, entry)
            found.implied = False
            return
        node = Node(Attributes(stat.S_IFDIR | entry.mode, entry.uid, entry.gid, clamp(entry.mtime_ns)))
        if found is None:
            self.inodes += 1
        elif _is_whiteout(found) and not self._lowest:
            node.xattrs[OPAQUE] = b"y"
        self._keep_xattrs(node, entry)
        self._put(parent, name, node)

    def _link(self, parent: Node, name: bytes, wanted: bytes) -> None:
        node = self.top
        for part in wanted.split(b"/"):
            below = (node.children or {}).get(part)
            if below is None:
                raise Unindexable("a hard link to what the layer does not have")
            node = below
        old = (parent.children or {}).get(name)
        if node.children is not None or old is node:
            raise Unindexable("a hard link to a directory or to itself")
        self._put(parent, name, node)

    def _whiteout(self, above: bytes, name: str) -> None:
        if self._lowest or (name.startswith(WHITEOUT_META) and name != WHITEOUT_OPAQUE):
            return
        hidden = os.fsencode(name.removeprefix(WHITEOUT))
        parent = self._directory(above)
        if name == WHITEOUT_OPAQUE:
            parent.xattrs[OPAQUE] = b"y"
        elif hidden in (b"", b".", b".."):
            raise Unindexable("a whiteout of nothing")
        elif (found := (parent.children or {}).get(hidden)) is None:
            self._put(parent, hidden, Node(Attributes(stat.S_IFCHR, 0, 0, 0)))
            self.inodes += 1
        elif found.children is not None:
            found.xattrs[OPAQUE] = b"y"

    def _directory(self, path: bytes) -> Node:
        node = self.top
        for part in path.split(b"/") if path else ():
            children = node.children
            if children is None:
                raise Unindexable("a path through something that is no directory")
            below = children.get(part)
            if below is None:
                below = Node(_IMPLIED)
                below.implied = True
                self._put(node, part, below)
                self.inodes += 1
            node = below
        if node.children is None:
            raise Unindexable("a path through something that is no directory")
        return node

    def _put(self, parent: Node, name: bytes, node: Node) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES or len(name) > erofs.MAX_NAME or parent.children is None:
            raise Unindexable("too many entries, or a name that is too long")
        parent.children[name] = node

    def _dress(self, node: Node, entry: Entry) -> None:
        node.attributes = Attributes(stat.S_IFDIR | entry.mode, entry.uid, entry.gid, clamp(entry.mtime_ns))
        self._keep_xattrs(node, entry)

    def _keep_xattrs(self, node: Node, entry: Entry) -> None:
        for name, value in entry.xattrs.items():
            if name.startswith(OVERLAY_XATTRS):
                continue
            if name.startswith("system.") or (name == _CAPABILITY and len(value) not in _CAPABILITY_SIZES):
                raise Unindexable("an attribute that the kernel checks when it is set")
            node.xattrs[name] = value
            self._xattr_bytes += len(name) + len(value)
        if self._xattr_bytes > MAX_XATTR_BYTES:
            raise Unindexable("too many attributes")


def write(tree: IndexTree, data_blocks: int) -> Iterator[bytes]:
    """The index, in pieces."""
    nodes = _number(tree.top)
    try:
        packed = [erofs.pack_xattrs(node.xattrs.items()) if node.xattrs else b"" for node in nodes]
    except ValueError as error:
        raise Unindexable(str(error)) from None
    end = _place(nodes, packed)
    block = -(-end // erofs.BLOCK)
    contents: list[bytes] = []
    for node, parent in _with_parents(tree.top):
        if node.children is not None:
            blocks, node.size = erofs.directory_blocks(_listing(node, parent))
        elif stat.S_ISLNK(node.attributes.mode) and not node.where:
            blocks = [node.target.ljust(-(-node.size // erofs.BLOCK) * erofs.BLOCK, b"\0")]
        else:
            continue
        node.where = block
        contents += blocks
        block += sum(map(len, blocks)) // erofs.BLOCK
    if block > erofs.MAX_BLOCKS or data_blocks > erofs.MAX_BLOCKS:
        raise Unindexable("too large")
    yield erofs.super_block(tree.top.offset, len(nodes), block, data_blocks)
    at = erofs.FIRST_INODE
    for node, xattrs in zip(nodes, packed, strict=True):
        body = _inode(node, xattrs)
        yield bytes(node.offset - at) + body
        at = node.offset + len(body)
    yield bytes(-at % erofs.BLOCK)
    yield from contents


def _number(top: Node) -> list[Node]:
    """Every inode once, the root first."""
    nodes = [top]
    top.number, top.links = 1, 2
    pending = [top]
    while pending:
        node = pending.pop()
        for child in (node.children or {}).values():
            if not child.number:
                nodes.append(child)
                child.number = len(nodes)
            if child.children is None:
                child.links += 1
                continue
            child.links = 2
            node.links += 1
            pending.append(child)
    return nodes


def _place(nodes: list[Node], packed: list[bytes]) -> int:
    """Give every inode its place: aligned, and none over the edge of a block.  The end of the last."""
    at = erofs.FIRST_INODE
    for node, xattrs in zip(nodes, packed, strict=True):
        at += -at % erofs.SLOT
        if at % erofs.BLOCK > erofs.BLOCK - erofs.INODE:
            at += -at % erofs.BLOCK
        node.offset = at
        at += erofs.INODE + len(xattrs)
        if stat.S_ISREG(node.attributes.mode) and node.size:
            at += -at % erofs.CHUNK_INDEX + erofs.CHUNK_INDEX
    return at


def _with_parents(top: Node) -> Iterator[tuple[Node, Node]]:
    """Every name, that is a hard link's inode more than once, with the directory above it."""
    pending = [(top, top)]
    while pending:
        node, parent = pending.pop()
        yield node, parent
        pending.extend((child, node) for child in (node.children or {}).values())


def _listing(node: Node, parent: Node) -> list[tuple[bytes, int, int]]:
    rows = [(name, child.offset, child.attributes.mode) for name, child in (node.children or {}).items()]
    rows += [(b".", node.offset, stat.S_IFDIR), (b"..", parent.offset, stat.S_IFDIR)]
    return sorted(rows)


def _inode(node: Node, xattrs: bytes) -> bytes:
    if stat.S_ISREG(node.attributes.mode):
        return erofs.file_inode(node.attributes, node.number, node.links, node.size, node.where, xattrs)
    return erofs.inode(node.attributes, node.number, node.links, node.size, node.where, xattrs)


def _is_whiteout(node: Node) -> bool:
    return stat.S_ISCHR(node.attributes.mode) and node.where == 0
