"""Passwords of an htpasswd file, checked by crypt(3).

The system's libcrypt knows bcrypt (``htpasswd -B``), yescrypt, SHA-512 and SHA-256, so no package is needed, on any
Python (the crypt module is gone from 3.13).  MD5, apr1, {SHA} and DES entries are refused: they protect nobody.
The file is read again when it changes.  A checked password is remembered for a while as a keyed hash: a bcrypt
check takes tens of milliseconds, and clients send the password with each request.
"""

from __future__ import annotations

import asyncio
import ctypes
import ctypes.util
import hmac
import secrets
import time
from functools import lru_cache
from pathlib import Path

from corten.errors import Internal, Invalid

_STRONG = ("$2y$", "$2b$", "$2a$", "$y$", "$6$", "$5$", "$gy$")
_NOBODY = "$2y$05$......................................................"
_REMEMBER = 300.0
_REMEMBER_ENTRIES = 1024


class Passwords:
    """The users of one htpasswd file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._hashes: dict[str, str] = {}
        self._key = secrets.token_bytes(32)
        self._checked: dict[bytes, float] = {}
        self._read()

    async def check(self, user: str, password: str) -> bool:
        """Whether the password is the user's.  An unknown user takes as long as a known one."""
        self._read()
        stored = self._hashes.get(user)
        proof = hmac.digest(self._key, f"{user}\0{password}\0{stored}".encode(), "sha256")
        if self._checked.get(proof, 0.0) > time.monotonic():
            return True
        right = await asyncio.to_thread(verify, password, stored or _NOBODY) and stored is not None
        if right:
            while len(self._checked) >= _REMEMBER_ENTRIES:
                del self._checked[next(iter(self._checked))]
            self._checked[proof] = time.monotonic() + _REMEMBER
        return right

    def fingerprint(self, user: str) -> str:
        """Changes with the user's password; empty for nobody."""
        self._read()
        stored = self._hashes.get(user)
        return hmac.digest(b"fingerprint", stored.encode(), "sha256").hex()[:16] if stored else ""

    def _read(self) -> None:
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size)
            if stamp == self._stamp:
                return
            self._hashes = parse(self._path.read_text())
            self._stamp = stamp
        except OSError as error:
            raise Invalid(f"cannot read the htpasswd file {self._path}: {error.strerror}") from error


def parse(text: str) -> dict[str, str]:
    """The users and hashes of an htpasswd file."""
    hashes = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, colon, stored = line.strip().partition(":")
        if not colon or not user or not stored:
            raise Invalid(f"htpasswd line {number}: expected user:hash")
        if not stored.startswith(_STRONG):
            raise Invalid(f"htpasswd line {number}: the password of {user} is hashed too weakly; use htpasswd -B")
        hashes[user] = stored
    return hashes


def verify(password: str, stored: str) -> bool:
    """Whether ``stored`` was made from ``password``."""
    if "\0" in password:
        return False
    return hmac.compare_digest(_crypt(password, stored), stored)


def hashed(password: str, *, cost: int = 10) -> str:
    """A bcrypt hash for an htpasswd file."""
    alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    salt = "".join(secrets.choice(alphabet) for _ in range(21)) + secrets.choice(".Oeu")
    result = _crypt(password, f"$2y${cost:02}${salt}")
    if not result.startswith("$2y$"):
        raise Internal("this system's crypt(3) cannot make bcrypt hashes")
    return result


@lru_cache(maxsize=1)
def _libcrypt() -> ctypes.CDLL:
    for name in ("libcrypt.so.1", "libcrypt.so.2", ctypes.util.find_library("crypt"), "libc.so.6"):
        try:
            library = ctypes.CDLL(name, use_errno=True) if name else None
            if library is not None and hasattr(library, "crypt_r"):
                library.crypt_r.restype = ctypes.c_char_p
                library.crypt_r.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p]
                return library
        except OSError:
            continue
    raise Internal("no crypt(3) on this system", hint="install libcrypt1 (Debian) or libxcrypt")


def _crypt(password: str, setting: str) -> str:
    data = ctypes.create_string_buffer(1 << 18)  # struct crypt_data: 32 KiB in libxcrypt, 128 KiB in old glibc
    result = _libcrypt().crypt_r(password.encode(), setting.encode(), data)
    return result.decode("ascii", "replace") if result else "*"
