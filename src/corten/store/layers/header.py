"""One tar header block: ustar and GNU, read and printed.

Owns: the 512 bytes (POSIX pax(1), "ustar Interchange Format"; GNU tar's tar.h).  Does no I/O.  Extensions: pax.py.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import lru_cache

from corten.errors import Invalid

BLOCK = 512
ZERO_BLOCK = bytes(BLOCK)

REGULAR, LINK, SYMLINK, CHARACTER, DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
CONTIGUOUS, OLD_REGULAR = b"7", b"\0"
PAX, PAX_GLOBAL = b"x", b"g"
GNU_NAME, GNU_LINK, GNU_SPARSE, GNU_VOLUME = b"L", b"K", b"S", b"V"

# name mode uid gid size mtime chksum type linkname magic uname gname devmajor devminor prefix
_FIELDS = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_CHECKSUM = slice(148, 156)
_BLANK_CHECKSUM = 8 * ord(" ")
USTAR_MAGIC = b"ustar\x0000"

NAME_SIZE, PREFIX_SIZE, LINK_SIZE = 100, 155, 100
MAX_OCTAL_7, MAX_OCTAL_11 = 0o7777777, 0o77777777777


@dataclass(slots=True)
class Entry:
    """One member of a tar: the header's fields, overlaid by extended headers."""

    name: bytes
    kind: bytes = REGULAR
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    link: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: dict[str, bytes] = field(default_factory=dict)
    # For sparse files: (offset, length) of each piece of data, and the whole file's size.
    sparse: list[tuple[int, int]] | None = None
    real_size: int = 0


def parse(block: bytes) -> Entry:
    """The fields of one header block.  Invalid when the checksum is wrong or a number is none."""
    (
        name,
        mode,
        uid,
        gid,
        size,
        mtime,
        checksum,
        kind,
        link,
        magic,
        _uname,
        _gname,
        major,
        minor,
        prefix,
    ) = _FIELDS.unpack(block)
    expected = number(checksum)
    if sum(block) - sum(checksum) + _BLANK_CHECKSUM != expected and _signed_sum(block) != expected:
        raise Invalid("invalid tar header: wrong checksum")
    name = name.partition(b"\0")[0]
    if magic == USTAR_MAGIC:
        prefix = prefix.partition(b"\0")[0]
        if prefix:
            name = prefix + b"/" + name
    device = kind in (CHARACTER, DEVICE)
    return Entry(
        name=name,
        kind=kind,
        mode=number(mode) & 0o7777,
        uid=number(uid),
        gid=number(gid),
        size=number(size),
        mtime_ns=number(mtime) * 1_000_000_000,
        link=link.partition(b"\0")[0],
        major=number(major) if device else 0,
        minor=number(minor) if device else 0,
    )


@lru_cache(1024)  # a layer has few owners, modes and days
def number(field: bytes) -> int:
    """A numeric field: octal digits, or base 256 when the first bit is set (GNU)."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        return value - (1 << (8 * len(field) - 1)) if field[0] & 0x40 else value
    digits = field.partition(b"\0")[0].strip(b" ")
    if not digits:
        return 0
    try:
        return int(digits, 8) if digits.isdigit() else _bad_number(digits)
    except ValueError:
        return _bad_number(digits)


def build(entry: Entry) -> bytes | None:
    """The ustar block of ``entry``; None when something does not fit and extended headers are needed."""
    split = split_name(entry.name)
    if split is None or len(entry.link) > LINK_SIZE or max(entry.uid, entry.gid) > MAX_OCTAL_7:
        return None
    seconds = entry.mtime_ns // 1_000_000_000
    if entry.size > MAX_OCTAL_11 or not 0 <= seconds <= MAX_OCTAL_11 or max(entry.major, entry.minor) > MAX_OCTAL_7:
        return None
    block = bytearray(
        _FIELDS.pack(
            split[1],
            b"%07o\0" % entry.mode,
            b"%07o\0" % entry.uid,
            b"%07o\0" % entry.gid,
            b"%011o\0" % entry.size,
            b"%011o\0" % seconds,
            b"        ",
            entry.kind,
            entry.link,
            USTAR_MAGIC,
            b"",
            b"",
            b"%07o\0" % entry.major,
            b"%07o\0" % entry.minor,
            split[0],
        )
    )
    block[_CHECKSUM] = b"%06o\0 " % sum(block)
    return bytes(block)


def split_name(name: bytes) -> tuple[bytes, bytes] | None:
    """``name`` as ustar's prefix and name; None when it does not fit."""
    if len(name) <= NAME_SIZE:
        return b"", name
    if len(name) > NAME_SIZE + PREFIX_SIZE + 1:
        return None
    # The name part is at least one byte: a directory's closing slash is no place to split.
    at = name.find(b"/", len(name) - NAME_SIZE - 1, len(name) - 1)
    return (name[:at], name[at + 1 :]) if 0 < at <= PREFIX_SIZE else None


def padding(size: int) -> int:
    """How many bytes fill the last block of ``size`` bytes."""
    return -size % BLOCK


def _bad_number(digits: bytes) -> int:
    raise Invalid(f"invalid tar header: {digits[:16]!r} is not a number")


def _signed_sum(block: bytes) -> int:
    """Some old tars summed signed characters."""
    total = sum(block) - sum(block[_CHECKSUM]) + _BLANK_CHECKSUM
    return total - 256 * (sum(byte > 127 for byte in block) - sum(byte > 127 for byte in block[_CHECKSUM]))
