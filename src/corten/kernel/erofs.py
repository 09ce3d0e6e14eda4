"""EROFS as far as an index over another file needs it: the bytes on disk, and mounting them without a device.

Owns: the layout of super block, inodes, directory blocks and attributes (the kernel's fs/erofs/erofs_fs.h), and the
mount of an index together with its data file.  Blocks have 512 bytes, as a tar's have, so that a file of the tar is a
run of blocks of the data file.  Knows nothing of tars: read store/layers/index.py.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from corten.kernel import mounts

BLOCK_BITS = 9
BLOCK = 1 << BLOCK_BITS
SLOT = 32  # inodes are numbered by these
SUPER_OFFSET = 1024
DEVICE_OFFSET = SUPER_OFFSET + 128
FIRST_INODE = 1536
INODE = 64
CHUNK_INDEX = 8

MAX_BLOCKS = (1 << 32) - 1
MAX_XATTR_VALUE = 0xFFFF
MAX_NAME = 255

_MAGIC = 0xE0F5E1E2
_CHUNKED_FILE, _DEVICE_TABLE = 0x4, 0x8
_EXTENDED, _PLAIN, _CHUNKS = 1, 0 << 1, 4 << 1
_BY_INDEX = 0x20
_MAX_CHUNK_BITS = 31

# magic checksum compat blkszbits extslots root_nid inos time nsec blocks meta xattrs uuid name incompat …
_SUPER = struct.Struct("<IIIBBHQQIIII16s16sIHHHBBIQ24x")
_DEVICE = struct.Struct("<64sII56x")
_INODE_STRUCT = struct.Struct("<HHHHQIIIIQII16x")
_CHUNK = struct.Struct("<HHI")
_ENTRY = struct.Struct("<QHBx")
_XATTR_HEAD = struct.Struct("<I8x")
_XATTR = struct.Struct("<BBH")
_XATTR_PREFIXES = (("user.", 1), ("trusted.", 4), ("security.", 6))
# By the file type bits of a mode: what a directory entry says.
_KINDS = {0o10: 1, 0o04: 2, 0o02: 3, 0o06: 4, 0o01: 5, 0o14: 6, 0o12: 7}


class Attributes(NamedTuple):
    """What of an inode can be changed afterwards."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int


def super_block(root: int, inodes: int, blocks: int, data_blocks: int) -> bytes:
    """Everything before the first inode: the super block and the one device."""
    number = root // SLOT
    incompat = _CHUNKED_FILE | _DEVICE_TABLE
    fields = (_MAGIC, 0, 0, BLOCK_BITS, 0, number, inodes, 0, 0, blocks, 0, 0, b"", b"", incompat, 0, 1)
    head = _SUPER.pack(*fields, DEVICE_OFFSET // 128, 0, 0, 0, 0)
    return (bytes(SUPER_OFFSET) + head + _DEVICE.pack(b"", data_blocks, 0)).ljust(FIRST_INODE, b"\0")


def inode(attributes: Attributes, number: int, links: int, size: int, where: int, xattrs: bytes = b"") -> bytes:
    """A directory or link whose bytes begin at block ``where``, or a special file whose device that is."""
    return _inode(_PLAIN, attributes, number, links, size, where, xattrs)


def file_inode(attributes: Attributes, number: int, links: int, size: int, block: int, xattrs: bytes = b"") -> bytes:
    """A file that is one chunk of the data file, from its block ``block`` on."""
    if size == 0:
        return _inode(_PLAIN, attributes, number, links, 0, 0, xattrs)
    bits = max((size - 1).bit_length() - BLOCK_BITS, 0)
    if bits > _MAX_CHUNK_BITS:
        raise ValueError(f"a file of {size} bytes is too large")
    data = _inode(_CHUNKS, attributes, number, links, size, _BY_INDEX | bits, xattrs)
    return data + bytes(-len(data) % CHUNK_INDEX) + _CHUNK.pack(0, 1, block)


def _inode(layout: int, attributes: Attributes, number: int, links: int, size: int, union: int, xattrs: bytes) -> bytes:
    mode, uid, gid, mtime_ns = attributes
    seconds, nanoseconds = divmod(mtime_ns, 1_000_000_000)
    count = (len(xattrs) - _XATTR_HEAD.size) // 4 + 1 if xattrs else 0
    head = _INODE_STRUCT.pack(
        _EXTENDED | layout, count, mode, 0, size, union, number & 0xFFFFFFFF, uid, gid, seconds, nanoseconds, links
    )
    return head + xattrs


def device(major: int, minor: int) -> int:
    """A device number as it is kept."""
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def pack_xattrs(xattrs: Iterable[tuple[str, bytes]]) -> bytes:
    """The attributes that follow an inode.  ValueError for what cannot be kept."""
    body = bytearray()
    for name, value in xattrs:
        prefix, index = next((each for each in _XATTR_PREFIXES if name.startswith(each[0])), ("", 0))
        raw = name[len(prefix) :].encode("utf-8", "surrogateescape")
        if not prefix or not 0 < len(raw) <= MAX_NAME or len(value) > MAX_XATTR_VALUE:
            raise ValueError(f"attribute {name}")
        body += _XATTR.pack(len(raw), index, len(value)) + raw + value
        body += bytes(-len(body) % 4)
    if len(body) > 4 * 0xFFFE:
        raise ValueError("too many attributes")
    return _XATTR_HEAD.pack(0) + body if body else b""


def directory_blocks(entries: Sequence[tuple[bytes, int, int]]) -> tuple[list[bytes], int]:
    """The blocks of a directory with these (name, offset of the inode, mode), sorted by name; its size."""
    blocks: list[bytes] = []
    run: list[tuple[bytes, int, int]] = []
    used = 0
    for entry in entries:
        needed = _ENTRY.size + len(entry[0])
        if used + needed > BLOCK:
            blocks.append(_directory_block(run).ljust(BLOCK, b"\0"))
            run, used = [], 0
        run.append(entry)
        used += needed
    last = _directory_block(run)
    return [*blocks, last.ljust(BLOCK, b"\0")], len(blocks) * BLOCK + len(last)


def _directory_block(entries: Sequence[tuple[bytes, int, int]]) -> bytes:
    at = _ENTRY.size * len(entries)
    head = bytearray()
    for name, offset, mode in entries:
        head += _ENTRY.pack(offset // SLOT, at, _KINDS[mode >> 12])
        at += len(name)
    return bytes(head) + b"".join(name for name, _, _ in entries)


def find(index: bytes | memoryview, path: str) -> int:
    """Where the inode of ``path`` ("" is the root) is in an index that this module made.  KeyError if nowhere."""
    offset = int(_SUPER.unpack_from(index, SUPER_OFFSET)[5]) * SLOT
    for part in path.encode("utf-8", "surrogateescape").split(b"/") if path else ():
        offset = dict(_listing(index, offset))[part]
    return offset


def _listing(index: bytes | memoryview, offset: int) -> Iterator[tuple[bytes, int]]:
    fields = _INODE_STRUCT.unpack_from(index, offset)
    if fields[2] >> 12 != 0o04:
        return
    size, start = fields[4], fields[5] * BLOCK
    for at in range(start, start + size, BLOCK):
        block = bytes(index[at : min(at + BLOCK, start + size)])
        count = _ENTRY.unpack_from(block)[1] // _ENTRY.size
        rows = [_ENTRY.unpack_from(block, _ENTRY.size * number) for number in range(count)]
        ends = [row[1] for row in rows[1:]] + [len(block)]
        for (number, name_at, _), end in zip(rows, ends, strict=True):
            yield block[name_at:end].rstrip(b"\0"), number * SLOT


def dressed(inode_bytes: bytes, attributes: Attributes) -> bytes:
    """An inode with other attributes; its kind stays."""
    fields = list(_INODE_STRUCT.unpack(inode_bytes))
    fields[2] = fields[2] & 0o170000 | attributes.mode & 0o7777
    fields[7], fields[8] = attributes.uid, attributes.gid
    fields[9], fields[10] = divmod(attributes.mtime_ns, 1_000_000_000)
    return _INODE_STRUCT.pack(*fields)


def detached(index: str, data: str) -> int:
    """Mount an index with its data file, seen by nobody but who has the descriptor.  OSError, explained."""
    try:
        return mounts.detached("erofs", (("device", data),), source=index)
    except OSError as failure:
        if failure.errno in (errno.ENODEV, errno.ENOSYS):
            raise OSError(failure.errno, "this kernel has no erofs (CONFIG_EROFS_FS)", index) from None
        if failure.errno == errno.ENOTBLK:
            words = "this kernel's erofs needs a block device (CONFIG_EROFS_FS_BACKED_BY_FILE, Linux 6.12)"
            raise OSError(errno.EOPNOTSUPP, words, index) from None
        raise
