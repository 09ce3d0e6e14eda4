"""Numbers of bytes for people, as Docker writes them: ``1.98MB`` (decimal) and ``1.891MiB`` (binary)."""

from __future__ import annotations

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")


def human(size: float, digits: int = 3) -> str:
    """Powers of 1000 and so many significant digits."""
    return _scaled(size, 1000.0, _DECIMAL, digits)


def binary(size: float, digits: int = 4) -> str:
    """Powers of 1024."""
    return _scaled(size, 1024.0, _BINARY, digits)


def _scaled(size: float, base: float, units: tuple[str, ...], digits: int) -> str:
    at = 0
    while abs(size) >= base and at < len(units) - 1:
        size /= base
        at += 1
    return f"{size:.{digits}g}{units[at]}"
