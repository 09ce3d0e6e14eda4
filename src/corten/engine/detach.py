"""The keys that take a client off a container without ending it: ``ctrl-p,ctrl-q``.

Owns: their grammar, and finding them in typed bytes.  No I/O.
"""

from __future__ import annotations

from corten.errors import Invalid

DEFAULT_KEYS = bytes((16, 17))
_CONTROL = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def parse(text: str | None) -> bytes:
    """``ctrl-p,ctrl-q`` or ``a,b`` as bytes; raises Invalid."""
    if not text:
        return DEFAULT_KEYS
    return bytes(_key(word) for word in text.split(","))


def _key(word: str) -> int:
    if len(word) == 1 and word.isascii():
        return ord(word)
    letter = word.removeprefix("ctrl-")
    if letter == word or len(letter) != 1:
        raise Invalid(f"Invalid detach keys provided: unknown character: '{word}'")
    if letter in _CONTROL:
        return _CONTROL[letter]
    if "a" <= letter <= "z":
        return ord(letter) - ord("a") + 1
    raise Invalid(f"Invalid detach keys provided: unknown character: '{word}'")


class Scanner:
    """Typed bytes in, bytes for the container out; stops at the keys."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What goes on to the container, and whether the keys were completed."""
        if not self._matched and self._keys[0] not in data:
            return data, False
        passed = bytearray()
        for byte in data:
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    return bytes(passed), True
                continue
            # What looked like the beginning of the keys was none: it is typed after all.
            passed += self._keys[: self._matched]
            self._matched = 1 if byte == self._keys[0] else 0
            if not self._matched:
                passed.append(byte)
        return bytes(passed), False
