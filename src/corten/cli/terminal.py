"""The user's terminal: is there one, its size, raw mode, changes of size, detach keys.

Owns: everything that differs between a terminal and a pipe, and between systems.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator

from corten.errors import Invalid

DETACH_KEYS = "ctrl-p,ctrl-q"


def is_terminal(descriptor: int) -> bool:
    """Is it a terminal?"""
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def size() -> tuple[int, int] | None:
    """Rows and columns of the terminal on standard output; None where there is none."""
    try:
        found = os.get_terminal_size(1)
    except (OSError, ValueError):
        return None
    return (found.lines, found.columns) if found.lines and found.columns else None


@contextlib.contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """Pass every key through unchanged while inside."""
    if sys.platform == "win32" or not is_terminal(descriptor):
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor, termios.TCSANOW)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)


@contextlib.contextmanager
def on_resize(action: Callable[[int, int], object]) -> Iterator[None]:
    """Call with rows and columns now and whenever the terminal changes its size."""

    def tell(*_: object) -> None:
        if found := size():
            action(*found)

    tell()
    if sys.platform == "win32":
        yield  # no SIGWINCH there: the first size stands
        return
    before = signal.signal(signal.SIGWINCH, tell)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def parse_keys(text: str) -> bytes:
    """``ctrl-p,ctrl-q`` as the bytes that the keys send; raises Invalid."""
    found = bytearray()
    for word in text.split(","):
        key = word.strip()
        if len(key) == 1:
            found += key.encode()
        elif key.startswith("ctrl-") and len(key) == 6 and (key[5].isalpha() or key[5] in "@[\\]^_"):
            found.append(ord(key[5].upper()) & 0x1F)
        elif key == "DEL":
            found.append(127)
        else:
            raise Invalid(f"invalid detach keys ({text}): unknown character: '{key}'")
    return bytes(found)


class KeyWatch:
    """Looks for a sequence of keys in what is typed; holds back what may be its beginning."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = 0

    def scan(self, data: bytes) -> tuple[bytes, bool]:
        """What to pass on, and whether the sequence has been completed."""
        out = bytearray()
        for byte in data:
            if byte == self._keys[self._held]:
                self._held += 1
                if self._held == len(self._keys):
                    return bytes(out), True
                continue
            out += self._keys[: self._held]
            self._held = 1 if byte == self._keys[0] else 0
            if not self._held:
                out.append(byte)
            elif len(self._keys) == 1:
                return bytes(out), True
        return bytes(out), False
