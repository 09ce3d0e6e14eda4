"""Extended headers: pax records and the maps of sparse files.

Owns: "pax Extended Header" of POSIX pax(1), the SCHILY.xattr records, GNU tar's three sparse forms.  Does no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from corten.errors import Invalid
from corten.store.layers.header import Entry, number

XATTR = b"SCHILY.xattr."
# libarchive's form is base64 in another record; Docker reads only this one.
SPARSE_MAJOR, SPARSE_MINOR = b"GNU.sparse.major", b"GNU.sparse.minor"
SPARSE_NAME, SPARSE_REAL, SPARSE_SIZE = b"GNU.sparse.name", b"GNU.sparse.realsize", b"GNU.sparse.size"
SPARSE_MAP, SPARSE_OFFSET, SPARSE_BYTES = b"GNU.sparse.map", b"GNU.sparse.offset", b"GNU.sparse.numbytes"
MAX_PIECES = 1 << 20


def parse(data: bytes) -> dict[bytes, bytes]:
    """The records of a pax header.  GNU's repeated sparse records are joined into a map."""
    records: dict[bytes, bytes] = {}
    pieces: list[bytes] = []
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 21)
        digits = data[at:space] if space > at else b""
        length = int(digits) if digits.isdigit() else 0
        record = data[space + 1 : at + length]
        key, equals, value = record.partition(b"=")
        if length <= space + 1 - at or at + length > len(data) or not equals or not record.endswith(b"\n"):
            raise Invalid("invalid tar header: malformed pax record")
        at += length
        value = value[:-1]
        if key in (SPARSE_OFFSET, SPARSE_BYTES):
            pieces.append(value)
        else:
            records[key] = value
    if pieces:
        records[SPARSE_MAP] = b",".join(pieces)
    return records


def overlay(entry: Entry, records: Mapping[bytes, bytes]) -> None:
    """Let the records have the last word over the block's fields."""
    for key, value in records.items():
        if not value and not key.startswith(XATTR):
            continue  # an empty value takes the record back
        if key == b"path":
            entry.name = _no_nul(value)
        elif key == b"linkpath":
            entry.link = _no_nul(value)
        elif key == b"size":
            entry.size = integer(value)
        elif key == b"uid":
            entry.uid = integer(value)
        elif key == b"gid":
            entry.gid = integer(value)
        elif key == b"mtime":
            entry.mtime_ns = _nanoseconds(value)
        elif key.startswith(XATTR):
            entry.xattrs[_no_nul(key[len(XATTR) :]).decode("utf-8", "surrogateescape")] = value
    if SPARSE_NAME in records:
        entry.name = _no_nul(records[SPARSE_NAME])
    if SPARSE_MAP in records:
        entry.sparse = pairs(integer(item) for item in records[SPARSE_MAP].split(b",") if item)
        entry.real_size = real_size(records)


def map_is_in_data(records: Mapping[bytes, bytes]) -> bool:
    """Does the file's data begin with its sparse map (GNU sparse 1.0)?"""
    return records.get(SPARSE_MAJOR) == b"1" and records.get(SPARSE_MINOR) == b"0"


def real_size(records: Mapping[bytes, bytes]) -> int:
    """The size of a sparse file with its holes."""
    return integer(records.get(SPARSE_SIZE) or records.get(SPARSE_REAL) or b"0")


def pairs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """(offset, length) pairs of a flat list."""
    flat = list(numbers)
    if len(flat) % 2 or len(flat) > 2 * MAX_PIECES:
        raise Invalid("invalid tar header: malformed sparse map")
    return list(zip(flat[::2], flat[1::2], strict=True))


def old_sparse(block: bytes, first: bool) -> tuple[list[tuple[int, int]], bool]:
    """The pieces in an old GNU header (``first``) or its extension block, and whether another block follows."""
    start, count, flag = (386, 4, 482) if first else (0, 21, 504)
    pieces = []
    for at in range(start, start + 24 * count, 24):
        if not block[at]:
            break
        pieces.append((number(block[at : at + 12]), number(block[at + 12 : at + 24])))
    return pieces, bool(block[flag])


def check_sparse(entry: Entry) -> None:
    """Invalid unless the pieces are in order, inside the file, and as long together as the data."""
    end = total = 0
    for offset, length in entry.sparse or ():
        if offset < end or length < 0 or offset + length > entry.real_size:
            raise Invalid("invalid tar header: malformed sparse map")
        end = offset + length
        total += length
    if total != entry.size:
        raise Invalid("invalid tar header: sparse map and data differ in size")


def build(records: Mapping[bytes, bytes]) -> bytes:
    """The data of a pax header, records in order of their keys."""
    return b"".join(_record(key, records[key]) for key in sorted(records))


def _record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3  # a space, an equals sign, a newline
    total = length + len(str(length))
    if len(str(total)) != len(str(length)):
        total = length + len(str(total))
    return b"%d %s=%s\n" % (total, key, value)


def integer(value: bytes) -> int:
    """A decimal number of sane length."""
    if not value.isdigit() or len(value) > 20:
        raise Invalid(f"invalid tar header: {value[:24]!r} is not a number")
    return int(value)


def _nanoseconds(value: bytes) -> int:
    """Seconds with a fraction, exactly."""
    whole, _, fraction = value.partition(b".")
    negative = whole.startswith(b"-")
    seconds = integer(whole.removeprefix(b"-") or b"0")
    if fraction and not fraction.isdigit():
        raise Invalid(f"invalid tar header: {value[:24]!r} is not a time")
    nanoseconds = seconds * 1_000_000_000 + int((fraction[:9] or b"0").ljust(9, b"0"))
    return -nanoseconds if negative else nanoseconds


def _no_nul(value: bytes) -> bytes:
    if b"\0" in value:
        raise Invalid("invalid tar header: a name holds a NUL")
    return value
