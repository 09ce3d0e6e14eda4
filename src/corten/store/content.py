"""Content: blobs by digest, in an OCI image layout.

    content/oci-layout            {"imageLayoutVersion":"1.0.0"}
    content/blobs/<algorithm>/<hex>   complete and verified; never written again
    content/ingest/<name>         unfinished; <name> is the digest of the ingest's key, so that it is found again

A blob appears by rename, after its digest was verified.  One ingest has one writer (flock); a second writer of the same
key gets a private file and the first to finish wins.  Knows nothing of what blobs mean: read images.py, collect.py.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from corten.errors import Internal, Invalid, NotFound
from corten.spec.digest import HEX_LENGTHS, Digest

if TYPE_CHECKING:
    from hashlib import _Hash

CHUNK = 1 << 20
STALE_INGEST_SECONDS = 7 * 24 * 3600


class Content:
    """The blobs of one data root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._blobs = root / "blobs"
        self._ingests = root / "ingest"
        self.make()

    def make(self) -> None:
        """Make the layout where it is missing."""
        os.makedirs(self._blobs / "sha256", exist_ok=True)
        os.makedirs(self._ingests, exist_ok=True)
        marker = self.root / "oci-layout"
        if not marker.exists():
            replace_file(marker, b'{"imageLayoutVersion":"1.0.0"}')

    def has(self, digest: Digest) -> bool:
        """Is the blob here, whole?"""
        return os.path.exists(self.path(digest))

    def path(self, digest: Digest) -> Path:
        """Where the blob is, or would be."""
        return self._blobs / digest.algorithm / digest.hex

    def size(self, digest: Digest) -> int:
        """Its number of bytes."""
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError:
            raise NotFound(f"content digest {digest}: not found") from None

    def read(self, digest: Digest) -> bytes:
        """All its bytes, verified: for manifests and configs, not for layers."""
        try:
            data = self.path(digest).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"content digest {digest}: not found") from None
        if Digest.of(data, digest.algorithm) != digest:
            raise Internal(
                f"content digest {digest}: the blob on disk is corrupt", hint="Remove the image and pull it again."
            )
        return data

    def write(self, data: bytes) -> Digest:
        """Keep ``data``; its digest."""
        digest = Digest.of(data)
        if not self.has(digest):
            replace_file(self.path(digest), data, staging=self._ingests)
        return digest

    def ingest(self, key: str) -> Ingest:
        """The unfinished blob known as ``key``, found again if it was begun before."""
        name = hashlib.sha256(key.encode()).hexdigest()[:32]
        try:
            return Ingest(self, self._ingests / name)
        except BlockingIOError:
            return Ingest(self, self._ingests / f"{name}-{secrets.token_hex(8)}")

    def adopt(self, path: Path, digest: Digest) -> None:
        """Make the file at ``path`` (same file system, verified by the caller) the blob of ``digest``."""
        target = self.path(digest)
        os.makedirs(target.parent, exist_ok=True)
        os.chmod(path, 0o644)
        os.rename(path, target)

    def delete(self, digest: Digest) -> None:
        """Forget the blob, if it is here."""
        self.path(digest).unlink(missing_ok=True)

    def digests(self) -> Iterator[Digest]:
        """Every blob here."""
        for algorithm in HEX_LENGTHS:
            try:
                names = sorted(os.listdir(self._blobs / algorithm))
            except FileNotFoundError:
                continue
            for name in names:
                if len(name) == HEX_LENGTHS[algorithm]:
                    yield Digest(algorithm, name)

    def verify(self, digest: Digest) -> bool:
        """Do the bytes on disk still have this digest?"""
        return hash_file(self.path(digest), digest.algorithm) == digest

    def drop_stale(self, older_than: float = STALE_INGEST_SECONDS) -> int:
        """Remove ingests that nobody has touched for so many seconds; how many there were."""
        dropped = 0
        for path in self._ingests.iterdir():
            try:
                if time.time() - path.stat().st_mtime > older_than:
                    path.unlink()
                    dropped += 1
            except FileNotFoundError:
                continue
        return dropped


class Ingest:
    """An unfinished blob.  ``with`` closes it and keeps what was written; commit() or abort() ends it."""

    def __init__(self, content: Content, path: Path) -> None:
        self._content = content
        self.path = path
        self._fd = _open_locked(path)
        self.offset = os.fstat(self._fd).st_size
        # A resumed blob is hashed whole at the end: what an earlier process wrote is not believed.
        self._hash: _Hash | None = hashlib.sha256() if self.offset == 0 else None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append ``data``."""
        view = memoryview(data)
        if self._hash is not None:
            self._hash.update(view)
        while view:
            written = os.write(self._fd, view)
            self.offset += written
            view = view[written:]

    def truncate(self) -> None:
        """Begin again from nothing, where a server cannot resume."""
        os.ftruncate(self._fd, 0)
        self.offset = 0
        self._hash = hashlib.sha256()

    def commit(self, expected: Digest | None = None, size: int | None = None) -> Digest:
        """Verify and show the blob.  Invalid on a mismatch, and then the bytes are gone: they cannot be resumed."""
        if size is not None and self.offset != size:
            found = self.offset
            self.abort()
            raise Invalid(f"unexpected size: expected {size} bytes, got {found}")
        algorithm = expected.algorithm if expected else "sha256"
        if self._hash is not None and algorithm == "sha256":
            digest = Digest.from_hash(self._hash)
        else:
            digest = hash_file(self.path, algorithm)
        if expected is not None and digest != expected:
            self.abort()
            raise Invalid(f"unexpected digest: expected {expected}, got {digest}")
        self._content.adopt(self.path, digest)
        self.close()
        return digest

    def close(self) -> None:
        """Let go; what was written stays and can be resumed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def abort(self) -> None:
        """Let go and remove what was written."""
        self.path.unlink(missing_ok=True)
        self.close()

    def __enter__(self) -> Ingest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _open_locked(path: Path) -> int:
    """The file at ``path``, locked; BlockingIOError when another writer has it."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between open and lock the writer before us may have committed: then this inode is a blob, not ours.
            if os.path.exists(path) and os.path.samestat(os.fstat(fd), os.stat(path)):
                return fd
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def hash_file(path: Path | str, algorithm: str = "sha256") -> Digest:
    """The digest of a file's bytes."""
    with open(path, "rb") as file:
        return Digest.from_hash(hashlib.file_digest(file, algorithm))


def replace_file(path: Path, data: bytes, *, staging: Path | None = None) -> None:
    """Write a whole file so that readers see the old one or the new one."""
    temporary = (staging or path.parent) / f".{path.name[:48]}-{secrets.token_hex(8)}"
    try:
        temporary.write_bytes(data)
        os.rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
