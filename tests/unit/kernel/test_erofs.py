"""The bytes of an EROFS index, read back by the module's own reader; the kernel reads them in tests/integration."""

from __future__ import annotations

import pytest

from corten.kernel import erofs
from corten.kernel.erofs import Attributes

LOOKS = Attributes(0o040755, 0, 0, 0)


def test_sizes_that_the_format_fixes() -> None:
    assert len(erofs.super_block(erofs.FIRST_INODE, 1, 4, 1)) == erofs.FIRST_INODE
    assert len(erofs.inode(LOOKS, 1, 2, 0, 0)) == erofs.INODE
    assert len(erofs.file_inode(LOOKS, 1, 1, 0, 0)) == erofs.INODE
    assert len(erofs.file_inode(LOOKS, 1, 1, 5 << 30, 7)) == erofs.INODE + erofs.CHUNK_INDEX
    with pytest.raises(ValueError, match="too large"):
        erofs.file_inode(LOOKS, 1, 1, 1 << 41, 0)


def test_directories_of_every_size() -> None:
    for count in (2, 3, 30, 700):
        entries = [(b"n%05d" % number, 64 * number, 0o100644) for number in range(count)]
        blocks, size = erofs.directory_blocks(entries)
        assert all(len(block) == erofs.BLOCK for block in blocks)
        assert (len(blocks) - 1) * erofs.BLOCK < size <= len(blocks) * erofs.BLOCK
    blocks, _ = erofs.directory_blocks([(b"x" * 255, 64, 0o100644), (b"y" * 255, 128, 0o100644)])
    assert len(blocks) == 2


def test_attributes_that_can_be_kept() -> None:
    assert erofs.pack_xattrs([]) == b""
    packed = erofs.pack_xattrs([("user.a", b"1"), ("security.capability", bytes(20))])
    assert len(packed) % 4 == 0
    assert erofs.inode(LOOKS, 1, 2, 0, 0, packed)[erofs.INODE :] == packed
    for name, value in (("user.", b""), ("strange", b""), ("user." + "x" * 256, b""), ("user.a", bytes(1 << 16))):
        with pytest.raises(ValueError, match="attribute"):
            erofs.pack_xattrs([(name, value)])
    with pytest.raises(ValueError, match="too many"):
        erofs.pack_xattrs([(f"user.{number}", bytes(60000)) for number in range(5)])


def test_dressing_keeps_the_kind() -> None:
    before = erofs.inode(LOOKS, 1, 2, 27, 9)
    after = erofs.dressed(before, Attributes(0o100711, 5, 6, 7_000_000_008))
    assert after == erofs.inode(Attributes(0o040711, 5, 6, 7_000_000_008), 1, 2, 27, 9)
